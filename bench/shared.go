package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// sharedTags is over how many versions W5 spreads a site.
const sharedTags = 20

// sharing makes W5: the disk that the cache takes up when many versions have
// been read that share all but one file in a hundred, beside that of one.
func (b *bench) sharing() error {
	home, err := b.home()
	if err != nil {
		return err
	}
	d, err := b.mountIn(home, b.served.host)
	if err != nil {
		return err
	}
	defer d.stop()
	var one, all int
	for i := range sharedTags {
		if err := b.readVersion(d, i); err != nil {
			return err
		}
		if all, err = b.diskOf(home); err != nil {
			return err
		}
		if i == 0 {
			one = all
		}
	}
	ratio := float64(all) / float64(one)
	b.table.add(row{
		id: "W5", what: fmt.Sprintf("disk of the cache, %d versions of %s that share 99 %%", sharedTags, b.docs.name),
		ours: mebibytes(all), limit: mebibytes(one), ratio: fmt.Sprintf("%.2f", ratio), must: "≤ 1.10", reached: yes(ratio <= 1.1),
		note: fmt.Sprintf("beside one version; %d times 1 %% of new files are part of it", sharedTags-1),
	})
	return nil
}

// readVersion publishes a version with other files changed than the one before,
// and reads all of it.
func (b *bench) readVersion(d *daemon, number int) error {
	dir, err := b.changed(100 + number)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tag := fmt.Sprint("v", number)
	if _, err := b.command("bin/bundle", tag, "--dir", dir, "--out", b.temp+"/shared"); err != nil {
		return err
	}
	if _, err := b.command("bin/upload", tag, b.served.host+"/shared", "--images", b.temp+"/shared"); err != nil {
		return err
	}
	_, err = b.shell(`tar cf - -C "$1" . | cat >/dev/null`, d.dir+"/shared/"+tag)
	return err
}

// diskOf is the disk that a cache takes up, in KiB.
func (b *bench) diskOf(home string) (int, error) {
	out, err := b.command("du", "-sk", home+"/cache")
	if err != nil {
		return 0, err
	}
	kib, _, _ := strings.Cut(out, "\t")
	return strconv.Atoi(kib)
}
