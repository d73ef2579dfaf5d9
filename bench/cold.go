package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// firstBytes makes C1 and C2: the first byte of one small file, from an empty
// cache, beside curl asking for a manifest, a table of contents and a range.
func (b *bench) firstBytes() error {
	if err := b.firstByte("C1", b.docs); err != nil || b.site != "" {
		return err
	}
	for _, c := range []struct {
		id   string
		make func() (corpus, error)
	}{{"C1", b.makeBig}, {"C2", b.makeSmall}} {
		site, err := c.make()
		if err != nil {
			return err
		}
		if err := b.publish(&site); err != nil {
			return err
		}
		if err := b.firstByte(c.id, site); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) firstByte(id string, c corpus) error {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond, 50 * time.Millisecond} {
		host, err := b.delayed(b.served.host, delay)
		if err != nil {
			return err
		}
		bucket, err := b.bucket(delay)
		if err != nil {
			return err
		}
		note, wanted := "", c.nearest(10<<10).path
		p, err := b.alternate(
			func() (s float64, err error) { s, note, err = b.readOne(host, c); return s, err },
			func() (float64, error) { return b.threeRequests(host, c) },
			b.coldRclone(bucket, c, func(dir string) error { return firstByte(filepath.Join(dir, wanted)) }),
			b.crane(host, c, `tar xO app/`+wanted+` >/dev/null`))
		if err != nil {
			return err
		}
		b.table.duration(id, fmt.Sprintf("cold, first byte of a file of %s (%d files, %d MB), %v", c.name, len(c.files), c.bytes()/1e6, delay), p, 1.25, note)
	}
	return nil
}

// readOne reads a small file through a fresh mount; the note says what that
// made the daemon ask for until then.
func (b *bench) readOne(host string, c corpus) (elapsed float64, note string, err error) {
	requests, bytes := b.served.requests.Load(), b.served.bytes.Load()
	elapsed, err = b.fresh(host, func(d *daemon) error {
		err := firstByte(filepath.Join(d.path(c), c.nearest(10<<10).path))
		requests, bytes = b.served.requests.Load()-requests, b.served.bytes.Load()-bytes
		return err
	})
	return elapsed, fmt.Sprintf("%d requests, %d kB since the start", requests, bytes/1000), err
}

func firstByte(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	return err
}

// threeRequests is what curl needs for them, on one connection, without its own
// start.
func (b *bench) threeRequests(host string, c corpus) (float64, error) {
	blob := "http://" + host + "/v2/" + c.name + "/blobs/" + c.layer.digest
	args := []string{"-sf", "-w", "%{time_total}\n", "-o", "/dev/null",
		"-H", "Accept: application/vnd.oci.image.index.v1+json", "http://" + host + "/v2/" + c.name + "/manifests/v1"}
	for _, span := range []string{fmt.Sprintf("%d-%d", c.layer.toc, c.layer.size-1), fmt.Sprintf("%d-%d", c.layer.toc/2, c.layer.toc/2+(10<<10))} {
		args = append(args, "--next", "-sf", "-w", "%{time_total}\n", "-o", "/dev/null", "-r", span, blob)
	}
	out, err := b.command("curl", args...)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, field := range strings.Fields(out) {
		took, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, err
		}
		sum += took
	}
	return sum, nil
}

// wholeSite makes C4: all of a site from an empty cache, beside a transfer of
// the blob and its decompression.
func (b *bench) wholeSite() error {
	blob := filepath.Join(b.temp, "blob")
	bucket, err := b.bucket(0)
	if err != nil {
		return err
	}
	// Into a pipe: tar does not read what goes to /dev/null.
	readAll := func(dir string) error {
		_, err := b.shell(`tar cf - -C "$1" . | cat >/dev/null`, dir)
		return err
	}
	p, err := b.alternate(
		func() (float64, error) {
			return b.fresh(b.served.host, func(d *daemon) error { return readAll(d.path(b.docs)) })
		},
		func() (float64, error) {
			return seconds(func() error {
				_, err := b.shell(`curl -sf -o "$2" "$1"; gunzip -c <"$2" >/dev/null`,
					"http://"+b.served.host+"/v2/"+b.docs.name+"/blobs/"+b.docs.layer.digest, blob)
				return err
			})
		},
		b.coldRclone(bucket, b.docs, readAll),
		b.crane(b.served.host, b.docs, "cat >/dev/null"))
	if err == nil {
		b.table.duration("C4", "cold, all of "+b.docs.name+" read by tar", p, 1.3, "")
	}
	return err
}
