package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
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
	const tags = 500
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
	learn := func(d *daemon) (err error) { // so many unknown names are asked for slowly
		for limit := time.Now().Add(runLimit); time.Now().Before(limit) && b.ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
			if err = known(d); err == nil {
				return nil
			}
		}
		return err
	}
	if _, err := b.timedStart(home, learn); err != nil {
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

// tag gives a published corpus more tags, each of which names a manifest of its
// own: what is known of one says nothing about the others.
func (b *bench) tag(c corpus, tags int) error {
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	base := "http://" + b.served.host + "/v2/" + c.name + "/manifests/"
	var index struct{ Manifests []struct{ Digest string } }
	if err := b.document(base+"v1", "application/vnd.oci.image.index.v1+json", &index); err != nil {
		return err
	}
	var manifest map[string]any
	if err := b.document(base+index.Manifests[0].Digest, mediaType, &manifest); err != nil {
		return err
	}
	for i := range tags {
		manifest["annotations"] = map[string]string{"number": fmt.Sprint(i)}
		data, err := json.Marshal(manifest)
		if err != nil {
			return err
		}
		if err := b.put(base+fmt.Sprint("known-", i), mediaType, data); err != nil {
			return err
		}
	}
	return nil
}

// document reads a JSON document of the registry.
func (b *bench) document(url, mediaType string, to any) error {
	data, err := b.command("curl", "-sf", "-H", "Accept: "+mediaType, url)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(data), to)
}

func (b *bench) put(url, mediaType string, data []byte) error {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodPut, url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
