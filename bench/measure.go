package main

import (
	"math"
	"slices"
)

// pair is what two sides needed in turns: ours, and the limit beside it.
type pair struct{ ours, limit []float64 }

// alternate measures both sides in turns, so that what else the machine does
// meets both.
func (b *bench) alternate(ours, limit func() (float64, error)) (p pair, err error) {
	for range b.runs {
		for _, side := range []struct {
			measure func() (float64, error)
			to      *[]float64
		}{{ours, &p.ours}, {limit, &p.limit}} {
			v, err := side.measure()
			if err != nil {
				return p, err
			}
			*side.to = append(*side.to, v)
		}
	}
	return p, b.ctx.Err()
}

// ratios are ours to the limit, run by run, sorted.
func (p pair) ratios() (all []float64) {
	for i := range p.ours {
		all = append(all, p.ours[i]/p.limit[i])
	}
	slices.Sort(all)
	return all
}

// median is the middle of values, NaN for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
