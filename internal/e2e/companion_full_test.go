package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPagesAreServedWhileThereIsNoRoomForCompanions fills the disk of the cache
// when some gzip forms are there and some are not: every answer is right, in
// either form, what is there stays, and the rest comes when there is room.
func TestPagesAreServedWhileThereIsNoRoomForCompanions(t *testing.T) {
	once(t) // the daemon rests for ten seconds after it found no room
	needMount(t)
	reg := startRelay(t, startRegistry(t).host)
	s := site{"index.html": bytes.Repeat([]byte("<p>start</p>\n"), 500)}
	for i := range 4 {
		s[fmt.Sprintf("%d.js", i)] = bundleJS(uint64(40 + i))
	}
	s.publish(t, reg.host, "my-app", "v1")
	disk := newDir(t)
	must(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=16m"))
	t.Cleanup(func() { must(t, unix.Unmount(disk, 0)) })
	d := mount(t, reg.host, never, "--cache="+filepath.Join(disk, "cache"))
	d.cache = filepath.Join(disk, "cache")
	web := startNginx(t, d.dir)
	const base = "/my-app/v1/"
	web.compare(t, s, base) // nobody takes gzip, so that none is made
	made := web.companion(t, base+"0.js", s["0.js"])
	d.waitUntilKept(t, "my-app")
	reg.down() // all is local, and stays so

	fill := filepath.Join(disk, "fill")
	fillUp(t, fill)
	for range 3 {
		for name, want := range s {
			a := fetch(t, web.url+base+name, "Accept-Encoding", "gzip")
			if a.header.Get("Content-Encoding") == "gzip" {
				a.body = gunzip(t, a.body)
			}
			if a.status != http.StatusOK || !bytes.Equal(a.body, want) {
				t.Errorf("%s while the disk is full: got %d and %d other bytes", name, a.status, len(a.body))
			}
		}
	}
	if !eventually(startLimit, func() bool { return strings.Contains(string(d.tail()), "companions are not kept") }) {
		t.Fatalf("no gzip form was tried while the disk was full:\n%s", d.tail())
	}
	web.compare(t, s, base)
	// The kernel knows one that the store has lost and cannot keep.
	d.forget(t, "my-app/v1/0.js.gz", int64(len(made.body)))
	if a := web.companion(t, base+"0.js", s["0.js"]); !bytes.Equal(a.body, made.body) {
		t.Error("made again, a gzip form has other bytes")
	}
	fillUp(t, fill) // what the lost one has left
	if !eventually(startLimit, func() bool { return run(t, "", command(t, "regfs"), "status", d.dir).code == 3 }) {
		t.Error("status does not say that the cache is full")
	}
	web.compare(t, s, base)

	must(t, os.Remove(fill))
	for name, want := range s {
		web.companion(t, base+name, want)
	}
}

// fillUp writes to a file until its disk is full.
func fillUp(t testing.TB, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; {
		switch _, err := f.Write(make([]byte, size)); {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		default:
			must(t, err)
		}
	}
}

// forget removes a companion of some size from the store and from the kernel's
// memory of its content.
func (d *daemon) forget(t testing.TB, path string, size int64) {
	t.Helper()
	large, err := filepath.Glob(filepath.Join(d.cache, "v1", "??", "*"))
	must(t, err)
	for _, name := range large {
		if info, err := os.Stat(name); err == nil && info.Size() == size {
			must(t, os.Remove(name))
		}
	}
	f, err := os.Open(d.path(path))
	must(t, err)
	defer f.Close()
	must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}
