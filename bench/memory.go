package main

import (
	"fmt"
	"os"
	"strings"
)

// memoryAim is what a daemon that serves docs may hold, in KiB.
const memoryAim = 40 << 10

// memory makes M1: what the daemon holds after the site was served at random.
func (b *bench) memory(d *daemon) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return err
	}
	var kib int
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(after, &kib); err != nil {
		return err
	}
	b.table.add(row{
		id: "M1", what: "memory of the daemon (VmRSS) after W1 to W4",
		ours: fmt.Sprintf("%.1f MiB", float64(kib)/1024), must: "≤ 40 MiB", reached: yes(kib <= memoryAim),
		note: "one reading",
	})
	return nil
}
