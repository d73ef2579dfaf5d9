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
const forgetting = 10 * time.Second

// memory makes M1: what the daemon holds after the site was served at random.
func (b *bench) memory(d *daemon) error {
	kib, err := d.resident()
	if err != nil {
		return err
	}
	b.table.add(row{
		id: "M1", what: "memory of the daemon (VmRSS) after W1 to W4",
		ours: mebibytes(kib), must: "≤ " + mebibytes(memoryAim), reached: yes(kib <= memoryAim),
		note: "one reading",
	})
	return nil
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
	d, err := b.mount(b.served.host)
	if err != nil {
		return err
	}
	defer d.stop()
	before, err := d.resident()
	if err != nil {
		return err
	}
	if _, err := b.shell(`ls -lR "$1" >/dev/null`, d.path(many)); err != nil {
		return err
	}
	walked, err := d.resident()
	if err != nil {
		return err
	}
	after, err := d.residentAfterForgetting()
	if err != nil {
		return err
	}
	b.table.add(row{
		id: "M2", what: fmt.Sprintf("memory of the daemon, %d files walked", len(many.files)),
		ours: mebibytes(walked), must: "≤ " + mebibytes(walkedAim), reached: yes(walked <= walkedAim),
		note: fmt.Sprintf("one reading; %s before, %s when the kernel had forgotten for %v", mebibytes(before), mebibytes(after), forgetting),
	})
	return nil
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
