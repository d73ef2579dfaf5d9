package main

import (
	"fmt"
	"strings"
)

// listings makes C3: cold listings, beside the local folder whose names the
// kernel has forgotten and one transfer of the index.
func (b *bench) listings() error {
	if err := b.list(b.docs); err != nil || b.site != "" {
		return err
	}
	many, err := b.makeMany()
	if err != nil {
		return err
	}
	if err := b.publish(&many); err != nil {
		return err
	}
	return b.list(many)
}

func (b *bench) list(c corpus) error {
	for _, name := range []string{"find -type f", "ls -lR"} {
		command, options, _ := strings.Cut(name, " ")
		line := name + ` "$1" >/dev/null`
		if command == "find" {
			line = command + ` "$1" ` + options + ` >/dev/null`
		}
		p, err := b.alternate(
			func() (float64, error) {
				return b.fresh(b.served.host, func(d *daemon) error { _, err := b.shell(line, d.path(c)); return err })
			},
			func() (float64, error) { return b.listLocally(line, c) })
		if err != nil {
			return err
		}
		b.table.duration("C3", fmt.Sprintf("cold, %s of %s (%d files)", name, c.name, len(c.files)), p, 1.5, "")
	}
	return nil
}

func (b *bench) listLocally(line string, c corpus) (float64, error) {
	if err := forgetNames(); err != nil {
		return 0, err
	}
	return seconds(func() error {
		_, err := b.shell(`curl -sf -o /dev/null -r "$2" "$3"; `+line, c.dir(),
			fmt.Sprintf("%d-%d", c.layer.toc, c.layer.size-1), "http://"+b.served.host+"/v2/"+c.name+"/blobs/"+c.layer.digest)
		return err
	})
}
