package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The peers that a user can install by name.
const (
	rcloneName     = "rclone mount"
	squashfuseName = "squashfuse"
	craneName      = "crane"
)

// needed are the programs without which nothing is measured: a table in which a
// column is missing looks as if nobody could do it.
var needed = []string{"docker-registry", "nginx", "wrk", "curl", "chromium", "rclone", "mksquashfs", "squashfuse"}

// checkPrograms tells of all that is missing.
func checkPrograms() error {
	var missing []error
	for _, name := range needed {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, err)
		}
	}
	if _, err := os.Stat(cranePath()); err != nil {
		missing = append(missing, err)
	}
	return errors.Join(missing...)
}

// cranePath is where make puts crane; its version is that of our module.
func cranePath() string { return os.Getenv("CRANE") }

// mounted waits until something is mounted at a folder.
func (b *bench) mounted(dir string) func() bool {
	var before unix.Stat_t
	_ = unix.Stat(filepath.Dir(dir), &before) // it was just made
	return func() bool {
		var now unix.Stat_t
		return unix.Stat(dir, &now) == nil && now.Dev != before.Dev
	}
}

// mountPeer starts a program that mounts something at a new folder.
func (b *bench) mountPeer(name string, args func(dir string) []string) (dir string, p *process, err error) {
	dir, err = os.MkdirTemp(b.temp, "peer")
	if err != nil {
		return "", nil, err
	}
	b.ends = append(b.ends, func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	p, err = b.start(b.mounted(dir), name, args(dir)...)
	return dir, p, err
}

// bucket is the host of a "rclone serve" of all corpora, as far away as asked for.
func (b *bench) bucket(delay time.Duration) (host string, err error) {
	if b.webdav == "" {
		address, err := freeAddress()
		if err != nil {
			return "", err
		}
		if _, err := b.start(func() bool { return b.answers("http://" + address + "/") }, "rclone", "serve", "webdav", b.docs.root, "--addr", address, "--dir-cache-time", "1s"); err != nil {
			return "", err
		}
		b.webdav = address
	}
	return b.delayed(b.webdav, delay)
}

// rclone mounts the bucket at host with an empty cache.
func (b *bench) rclone(host string) (dir string, p *process, err error) {
	cache, err := b.home()
	if err != nil {
		return "", nil, err
	}
	return b.mountPeer("rclone", func(dir string) []string {
		return []string{"mount", fmt.Sprintf(":webdav,url='http://%s':", host), dir, "--read-only",
			"--vfs-cache-mode", "full", "--cache-dir", cache, "--dir-cache-time", "1h", "--attr-timeout", "1h"}
	})
}

// coldRclone measures something on a fresh mount of the bucket at host; it gets
// the folder of the corpus.
func (b *bench) coldRclone(host string, c corpus, work func(dir string) error) peer {
	return peer{rcloneName, func() (float64, error) {
		dir, p, err := b.rclone(host)
		if err != nil {
			return 0, err
		}
		defer func() {
			_ = unix.Unmount(dir, unix.MNT_DETACH) // it ends with its process too
			p.stop()
		}()
		return seconds(func() error { return work(filepath.Join(dir, c.name, "v1")) })
	}}
}

// crane measures unpacking an image of the registry at host as crane does it:
// whole, with tar taking what is asked for.
func (b *bench) crane(host string, c corpus, tar string) peer {
	return peer{craneName, func() (float64, error) {
		return seconds(func() error {
			_, err := b.shell(`"$1" export --insecure --platform linux/amd64 "$2" - | `+tar, cranePath(), host+"/"+c.name+":v1")
			return err
		})
	}}
}

// squash packs a corpus as <name>/v1 in a squashfs image and mounts it.
func (b *bench) squash(c corpus) (dir string, err error) {
	tree, image := filepath.Join(b.temp, "squash"), filepath.Join(b.temp, "squash.img")
	if err := os.MkdirAll(filepath.Join(tree, c.name), 0o755); err != nil {
		return "", err
	}
	if _, err := b.command("cp", "-r", c.dir(), filepath.Join(tree, c.name)); err != nil {
		return "", err
	}
	if _, err := b.command("mksquashfs", tree, image, "-quiet", "-no-progress"); err != nil {
		return "", err
	}
	dir, _, err = b.mountPeer("squashfuse", func(dir string) []string { return []string{"-f", image, dir} })
	return dir, errors.Join(err, os.RemoveAll(tree))
}
