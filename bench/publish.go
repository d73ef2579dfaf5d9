package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// bundling makes P1 and P2: packing the site beside tar and gzip, then packing
// it again with one file in a hundred changed.
func (b *bench) bundling() error {
	out, packed := filepath.Join(b.temp, "bundled"), filepath.Join(b.temp, "packed.tar.gz")
	p, err := b.alternate(
		func() (float64, error) {
			if err := os.RemoveAll(filepath.Join(b.temp, "home")); err != nil { // what bundle remembers
				return 0, err
			}
			return b.bundle(b.docs.dir(), out)
		},
		func() (float64, error) {
			return seconds(func() error {
				_, err := b.shell(`tar cf - -C "$1" . | gzip -6 >"$2"`, b.docs.dir(), packed)
				return err
			})
		})
	if err != nil {
		return err
	}
	b.table.duration("P1", "bundle "+b.docs.name+", beside tar and gzip -6", p, 1.0, "")
	again := pair{limit: p.ours}
	for i := range b.runs {
		dir, err := b.changed(i)
		if err != nil {
			return err
		}
		s, err := b.bundle(dir, out)
		if err != nil {
			return err
		}
		again.ours = append(again.ours, s)
	}
	b.table.duration("P2", "bundle it again, 1 % of its files changed, beside P1", again, 0.25, "")
	return nil
}

func (b *bench) bundle(dir, out string) (float64, error) {
	return seconds(func() error {
		_, err := b.command("bin/bundle", "v1", "--dir", dir, "--out", out)
		return err
	})
}

// changed is a copy of the site in which every hundredth file is another one;
// each copy has others.
func (b *bench) changed(copy int) (string, error) {
	dir := filepath.Join(b.temp, fmt.Sprintf("changed%d", copy))
	if _, err := b.command("cp", "-r", b.docs.dir(), dir); err != nil {
		return "", err
	}
	for i := copy; i < len(b.docs.files); i += 100 {
		path := filepath.Join(dir, b.docs.files[i].path)
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(path, fmt.Appendf(text, "<!-- %d -->", copy), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// changedSize is how many bytes the other files of such a copy have.
func (b *bench) changedSize(copy int) (sum int) {
	for i := copy; i < len(b.docs.files); i += 100 {
		sum += int(b.docs.files[i].size)
	}
	return sum
}

// uploading makes P3: an upload to a registry that has none of it, beside curl
// putting the same layer.
func (b *bench) uploading() error {
	host, err := b.delayed(b.served.host, 20*time.Millisecond)
	if err != nil {
		return err
	}
	blob := filepath.Join(b.images(b.docs), "v1", "blobs", "sha256", b.docs.layer.digest[len("sha256:"):])
	n := 0
	p, err := b.alternate(
		func() (float64, error) {
			n++
			return seconds(func() error {
				_, err := b.command("bin/upload", "v1", fmt.Sprintf("http://%s/upload%d", host, n), "--images", b.images(b.docs))
				return err
			})
		},
		func() (float64, error) {
			return seconds(func() error { return b.curlPut("http://"+host, fmt.Sprintf("put%d", n), blob) })
		})
	if err == nil {
		b.table.duration("P3", "upload "+b.docs.name+", 20ms, beside curl PUT of the layer", p, 1.1, "")
	}
	return err
}

// curlPut opens an upload and puts the blob.
func (b *bench) curlPut(server, repo, blob string) error {
	_, err := b.shell(`
		place=$(curl -sf -X POST -o /dev/null -D - "$1/v2/$2/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //Ip')
		curl -sf -T "$3" -H 'Expect:' -H 'Content-Type: application/octet-stream' "$1$place&digest=$4"`,
		server, repo, blob, b.docs.layer.digest)
	return err
}
