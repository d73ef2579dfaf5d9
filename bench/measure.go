package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// pair is what two sides needed in turns: ours, and the limit beside it; and
// what peers needed for the same, by their names.
type pair struct {
	ours, limit []float64
	peers       map[string][]float64
}

// peer is another program that does the same.
type peer struct {
	name    string
	measure func() (float64, error)
}

// peerPatience is for how long a peer is measured: what takes it minutes where we
// take a second is no closer after five runs.
const peerPatience = 30 * time.Second

// alternate measures both sides in turns, so that what else the machine does
// meets both. Peers come afterwards: what some of them still do when their turn
// is over would meet only us.
func (b *bench) alternate(ours, limit func() (float64, error), peers ...peer) (p pair, err error) {
	p.peers = map[string][]float64{}
	type side struct {
		measure func() (float64, error)
		to      *[]float64
	}
	sides := []side{{ours, &p.ours}, {limit, &p.limit}}
	for range b.runs {
		for _, side := range sides {
			v, err := side.measure()
			if err != nil {
				return p, err
			}
			*side.to = append(*side.to, v)
		}
		slices.Reverse(sides) // so that neither always comes first
	}
	for _, other := range peers {
		begin := time.Now()
		for n := 0; n < b.peerRuns && (n == 0 || time.Since(begin) < peerPatience); n++ {
			v, err := other.measure()
			if err != nil {
				return p, fmt.Errorf("%s: %w", other.name, err)
			}
			p.peers[other.name] = append(p.peers[other.name], v)
		}
	}
	return p, b.ctx.Err()
}

// ratios are ours to the limit, run by run, sorted.
func (p pair) ratios() []float64 { return p.against(p.ours) }

// against are the ratios of a side to the limit.
func (p pair) against(side []float64) (all []float64) {
	for i := range side {
		all = append(all, side[i]/p.limit[i])
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
