package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// What a daemon may hold, in KiB: when it serves docs, when many was walked.
const (
	memoryAim = 40 << 10
	walkedAim = 120 << 10
)

// forgetting is how long the daemon gets to give memory back; Go's runtime does
// so in the background, a little at a time.
const forgetting = 5 * time.Second

// memory makes M1: the most that the daemon held after each load.
func (b *bench) memory(kib, readings int) {
	b.table.add(row{
		id: "M1", what: "memory of the daemon (VmRSS), serving docs",
		ours: mebibytes(kib), must: "≤ " + mebibytes(memoryAim), reached: yes(kib <= memoryAim),
		note: fmt.Sprintf("the most of %d readings, after each load", readings),
	})
}

// walk makes M2: what the daemon holds when all of many was walked, and when
// the kernel has forgotten it.
func (b *bench) walk() error {
	many, err := b.makeMany()
	if err != nil {
		return err
	}
	if err := b.publish(&many); err != nil {
		return err
	}
	var walked, back []float64
	var before, after int
	for range b.runs {
		d, err := b.mount(b.served.host)
		if err != nil {
			return err
		}
		most := 0
		before, most, after, err = b.walkOnce(d, many)
		d.stop()
		if err != nil {
			return err
		}
		walked = append(walked, float64(most))
		back = append(back, float64(after)/float64(before))
	}
	kib := int(median(walked))
	b.table.add(row{
		id: "M2", what: fmt.Sprintf("memory of the daemon, %d files walked (ls -lR)", len(many.files)),
		ours: mebibytes(kib), must: "≤ " + mebibytes(walkedAim), reached: yes(kib <= walkedAim),
	})
	ratio := median(back)
	b.table.add(row{
		id: "M2", what: fmt.Sprintf("the same when the kernel had forgotten it for %v, beside before the walk", forgetting),
		ours: mebibytes(after), limit: mebibytes(before), ratio: fmt.Sprintf("%.2f", ratio), must: "≤ 1.20", reached: yes(ratio <= 1.2),
		note: "before the walk the site's tree is there, and nothing of it is known to the kernel",
	})
	return nil
}

// walkOnce gives what the daemon holds before a walk, at its end, and when the
// kernel has forgotten it, in KiB.
func (b *bench) walkOnce(d *daemon, c corpus) (before, walked, after int, err error) {
	if _, err = os.Stat(d.path(c)); err != nil {
		return before, walked, after, err
	}
	time.Sleep(forgetting) // what resolving the tag took is given back too
	if before, err = d.resident(); err != nil {
		return before, walked, after, err
	}
	if _, err = b.shell(`ls -lR "$1" >/dev/null`, d.path(c)); err != nil {
		return before, walked, after, err
	}
	if walked, err = d.resident(); err != nil {
		return before, walked, after, err
	}
	after, err = d.residentAfterForgetting()
	return before, walked, after, err
}

// residentAfterForgetting is what the daemon holds a while after the kernel has
// forgotten its names.
func (d *daemon) residentAfterForgetting() (int, error) {
	if err := forgetNames(); err != nil {
		return 0, err
	}
	time.Sleep(forgetting)
	return d.resident()
}

// resident is the daemon's VmRSS in KiB.
func (d *daemon) resident() (kib int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	_, err = fmt.Sscan(after, &kib)
	return kib, err
}

func mebibytes(kib int) string { return fmt.Sprintf("%.1f MiB", float64(kib)/1024) }
