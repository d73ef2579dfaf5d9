package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// startAim is how long a start may take that knows many sites, in seconds.
const startAim = 0.3

// starting makes M3: from the start of a daemon to its first answer, when its
// cache knows many sites and the registry is off.
func (b *bench) starting() error {
	small, err := b.makeSmall()
	if err != nil {
		return err
	}
	if err := b.publish(&small); err != nil {
		return err
	}
	tags := b.smaller(500, 100)
	if err := b.tag(small, tags); err != nil {
		return err
	}
	home, err := b.home()
	if err != nil {
		return err
	}
	known := func(d *daemon) error {
		for i := range tags {
			if _, err := os.Stat(filepath.Join(d.dir, small.name, fmt.Sprint("known-", i))); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := b.timedStart(home, known); err != nil {
		return err
	}
	b.served.off.Store(true)
	defer b.served.off.Store(false)
	var took []float64
	for range b.runs {
		s, err := b.timedStart(home, known)
		if err != nil {
			return err
		}
		took = append(took, s)
	}
	b.table.add(row{
		id: "M3", what: fmt.Sprintf("start to ready, %d known sites, registry off", tags),
		ours: fmt.Sprintf("%.3f s", median(took)), must: fmt.Sprintf("≤ %.1f s", startAim), reached: yes(median(took) <= startAim),
		note: "all of them looked up afterwards",
	})
	return nil
}

// timedStart starts a daemon on a cache that is there, and uses it.
func (b *bench) timedStart(home string, use func(*daemon) error) (float64, error) {
	var d *daemon
	took, err := seconds(func() (err error) {
		d, err = b.mountIn(home, b.served.host)
		return err
	})
	if err != nil {
		return 0, err
	}
	defer d.stop()
	return took, use(d)
}

// tag gives a published corpus more tags.
func (b *bench) tag(c corpus, tags int) error {
	const index = "application/vnd.oci.image.index.v1+json"
	base := "http://" + b.served.host + "/v2/" + c.name + "/manifests/"
	data, err := b.command("curl", "-sf", "-H", "Accept: "+index, base+"v1")
	if err != nil {
		return err
	}
	for i := range tags {
		req, err := http.NewRequestWithContext(b.ctx, http.MethodPut, base+fmt.Sprint("known-", i), bytes.NewReader([]byte(data)))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", index)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			return fmt.Errorf("tag known-%d: %s", i, resp.Status)
		}
	}
	return nil
}
