package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// takesGzip is what every browser says.
const takesGzip = "Accept-Encoding: gzip"

// compressed makes W6: all files for who takes gzip, beside the same nginx over
// a local folder in which gzip forms lie beside the files, and over one that
// it compresses on the fly.
func (b *bench) compressed() error {
	d, err := b.mount(b.served.host)
	if err != nil {
		return err
	}
	defer d.stop()
	made, err := b.gzipped()
	if err != nil {
		return err
	}
	if err := b.companions(d, made); err != nil {
		return err
	}
	ours, err := b.nginx(d.dir)
	if err != nil {
		return err
	}
	beside, err := b.nginx(made.root)
	if err != nil {
		return err
	}
	fly, err := b.nginx(b.docs.root, "gzip_static on;", "gzip on; gzip_min_length 1024; gzip_types text/css application/javascript text/javascript;")
	if err != nil {
		return err
	}
	l := load{"W6", "warm, all files at random as gzip, 32 connections; limit: gzip -9 beforehand", 32, b.docs.urls(), 0.95, []string{takesGzip}}
	if err := b.underLoad(d, ours, beside, l, nil); err != nil {
		return err
	}
	l.what, l.must = "the same; limit: nginx compresses on the fly", 1
	return b.underLoad(d, ours, fly, l, nil)
}

// gzipped is a copy of docs, the files as hard links where that can be, with a
// gzip form beside each that gets a tenth smaller by it.
func (b *bench) gzipped() (corpus, error) {
	c := corpus{name: b.docs.name, root: filepath.Join(b.temp, "gzipped")}
	_, err := b.shell(`mkdir -p "$(dirname "$2")"
		cp -rl "$1" "$2" 2>/dev/null || cp -r "$1" "$2"
		find "$2" -type f -size +1023c ! -name '*.png' -exec gzip -9 -n -k -f {} +`, b.docs.dir(), c.dir())
	return c, err
}

// companions waits until the mount has the gzip forms that made has.
func (b *bench) companions(d *daemon, made corpus) error {
	if _, err := b.shell(`tar cf - -C "$1" . | cat >/dev/null`, d.path(b.docs)); err != nil {
		return err
	}
	missing := b.docs.files
	for begin := time.Now(); len(missing) > 0; time.Sleep(100 * time.Millisecond) {
		missing = slices.DeleteFunc(slices.Clone(missing), func(f file) bool {
			info, err := os.Stat(filepath.Join(made.dir(), f.path+".gz"))
			if err != nil || info.Size() > f.size*9/10 {
				return true
			}
			_, err = os.Stat(filepath.Join(d.path(b.docs), f.path+".gz"))
			return err == nil
		})
		if time.Since(begin) > companionsLimit || b.ctx.Err() != nil {
			return fmt.Errorf("%d gzip forms are not there after %v", len(missing), time.Since(begin))
		}
	}
	return nil
}

// companionsLimit is how long all gzip forms of docs may take: ten times what
// they do.
const companionsLimit = 3 * time.Minute
