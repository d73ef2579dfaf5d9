package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// stuckReaders is how many readers wait for the layer that does not come.
const stuckReaders = 40

// fairness makes F1: how long the slowest hundredth of the answers of one site
// takes while many readers wait for a layer of another one that does not come.
func (b *bench) fairness() error {
	dead, err := b.makeSmall()
	if err != nil {
		return err
	}
	if err := b.publish(&dead); err != nil {
		return err
	}
	d, server, err := b.serve()
	if err != nil {
		return err
	}
	defer d.stop()
	// Of the one the index is known, of the other all is here.
	if _, err := b.shell(`tar cf - -C "$1" . | cat >/dev/null; ls "$2" >/dev/null`, d.path(b.docs), d.path(dead)); err != nil {
		return err
	}
	b.served.slow.Store(&dead.layer.digest)
	defer b.served.slow.Store(nil)
	load := b.loads()[1]
	p, waits, err := b.idleAndStuck(server, load, func() (func(), func() int) { return b.stuck(d.path(dead), dead) })
	if err == nil {
		b.table.duration("F1", fmt.Sprintf("slowest 1 %% of answers, all files at random, while %d readers wait for a layer of another site, beside idle", stuckReaders), p, 2,
			fmt.Sprintf("idle first; %d of them waited at the end", waits))
	}
	return err
}

// idleAndStuck measures first without and then with the readers: those that wait
// are not to be had back before their deadlines.
func (b *bench) idleAndStuck(server string, l load, stuck func() (stop func(), waiting func() int)) (p pair, waits int, err error) {
	measure := func(to *[]float64) error {
		for range b.runs {
			s, err := b.slowestHundredth(server, l)
			if err != nil {
				return err
			}
			*to = append(*to, s)
		}
		return b.ctx.Err()
	}
	if err := measure(&p.limit); err != nil {
		return p, 0, err
	}
	stop, waiting := stuck()
	defer stop()
	err = measure(&p.ours)
	return p, waiting(), err
}

// stuck starts the readers; waiting tells how many of them wait.
func (b *bench) stuck(dir string, c corpus) (stop func(), waiting func() int) {
	var ended atomic.Bool
	var waits atomic.Int32
	var readers sync.WaitGroup
	for i := range stuckReaders {
		path := filepath.Join(dir, c.files[i%len(c.files)].path)
		readers.Go(func() {
			for !ended.Load() {
				waits.Add(1)
				_, _ = os.ReadFile(path) // that it fails, after a while, is what is measured
				waits.Add(-1)
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	time.Sleep(500 * time.Millisecond) // for all of them to wait
	return func() { ended.Store(true) }, func() int { return int(waits.Load()) }
}

// slowestHundredth is the time within which all but one in a hundred answers came.
func (b *bench) slowestHundredth(server string, l load) (float64, error) {
	out, err := b.runWrk(server, 8, l.paths)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "99%" {
			took, err := time.ParseDuration(fields[1])
			return took.Seconds(), err
		}
	}
	return 0, fmt.Errorf("wrk: no 99%% in %s", out)
}
