package fs

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// script is text that compresses well, another one for each seed.
func script(seed, size int) string {
	return strings.Repeat(fmt.Sprintf("function f%d() { return %d }\n", seed, seed*7), size/20)[:size]
}

// gunzip is what the gzip form data holds.
func gunzip(t testing.TB, data []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// lookupIn asks for one name in a folder.
func lookupIn(t testing.TB, f *FS, dir fuse.EntryOut, name string) (out fuse.EntryOut) {
	t.Helper()
	if status := f.Lookup(nil, &fuse.InHeader{NodeId: dir.NodeId}, name, &out); status != fuse.OK {
		t.Fatalf("%s: got %v", name, status)
	}
	return out
}

// lookupCompanion asks for a companion until it is there.
func lookupCompanion(t testing.TB, f *FS, dir fuse.EntryOut, name string) fuse.EntryOut {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		out := lookupIn(t, f, dir, name)
		if out.NodeId != 0 {
			return out
		}
		if out.EntryTimeout() != unreadyTimeout || time.Now().After(end) {
			t.Fatalf("%s: got a miss for %v, want one for %v and then the companion", name, out.EntryTimeout(), unreadyTimeout)
		}
	}
}

// readNode reads a file as the kernel does.
func readNode(t testing.TB, f *FS, e fuse.EntryOut) []byte {
	t.Helper()
	var all []byte
	for uint64(len(all)) < e.Size {
		buf := make([]byte, 128<<10)
		in := fuse.ReadIn{InHeader: fuse.InHeader{NodeId: e.NodeId}, Offset: uint64(len(all))}
		result, status := f.Read(nil, &in, buf)
		if status != fuse.OK {
			t.Fatal(status)
		}
		data, status := result.Bytes(buf)
		if status != fuse.OK || len(data) == 0 {
			t.Fatalf("after %d bytes: got %d, %v", len(all), len(data), status)
		}
		all = append(all, data...)
		result.Done()
	}
	return all
}

func TestACompanionIsLookedUpAndNeverListed(t *testing.T) {
	w := newWorld(t)
	app := script(1, 50_000)
	w.Publish("my-app", "v1", map[string]string{"d/app.js": app, "404.html": app, "d/small.js": "x", "d/own.js": script(2, 5000), "d/own.js.gz": "own"})
	w.Publish("my-app", "v2", map[string]string{"d/app.js": app, "d/more": "x"})
	f := w.newFS()
	dir := lookup(t, f, "my-app", "v1", "d")
	plain := lookupIn(t, f, dir, "app.js")
	e := lookupCompanion(t, f, dir, "app.js.gz")
	if got := gunzip(t, readNode(t, f, e)); got != app {
		t.Errorf("got %d other bytes", len(got))
	}
	if e.EntryTimeout() != forever || e.AttrTimeout() != forever || e.Mode != 0o100444 || e.Size >= plain.Size {
		t.Errorf("got an entry for %v, attributes for %v, mode %o, %d bytes", e.EntryTimeout(), e.AttrTimeout(), e.Mode, e.Size)
	}
	if e.Mtime == plain.Mtime || e.Mtime > uint64(time.Now().Unix()) || e.NodeId == plain.NodeId {
		t.Errorf("got mtime %d and node %x, the file has %d and %x", e.Mtime, e.NodeId, plain.Mtime, plain.NodeId)
	}
	if names := listAll(t, f, dir.NodeId); len(names) != 6 || names["app.js.gz"] {
		t.Errorf("got %v, want the site's own names alone", names)
	}
	other := lookupIn(t, f, lookup(t, f, "my-app", "v2", "d"), "app.js.gz")
	if other.NodeId != e.NodeId || other.Mtime != e.Mtime {
		t.Errorf("in another version: got node %x, want %x at once", other.NodeId, e.NodeId)
	}
	if page := lookupIn(t, f, lookup(t, f, "my-app", "v1", ".regfs"), "404.html.gz"); page.NodeId != e.NodeId {
		t.Errorf("of a page that is found by another name: got node %x, want %x", page.NodeId, e.NodeId)
	}
	own := lookupIn(t, f, dir, "own.js.gz")
	if got := string(readNode(t, f, own)); got != "own" {
		t.Errorf("a .gz of the site: got %q", got)
	}
	if out := lookupIn(t, f, dir, "small.js.gz"); out.NodeId != 0 || out.EntryTimeout() != forever {
		t.Errorf("of a small file: got node %x for %v, want a miss for ever", out.NodeId, out.EntryTimeout())
	}
}

func TestWarmCompanionsAskTheDaemonNothing(t *testing.T) {
	w := newWorld(t)
	noise := make([]byte, 350_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // never fails
	app := hex.EncodeToString(noise)               // so that the companion is spliced from a file of its own
	w.Publish("my-app", "v1", map[string]string{"app.js": app, "tiny.css": "a", "film.mp4": script(3, 5000)})
	o := &operations{FS: w.newFS()}
	site := filepath.Join(w.mount(o), "my-app", "v1")
	if _, err := os.Stat(filepath.Join(site, "app.js.gz")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the file was read: got %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := os.ReadFile(filepath.Join(site, "app.js")); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if got, err = os.ReadFile(filepath.Join(site, "app.js.gz")); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if gunzip(t, got) != app {
		t.Error("the companion is not the file's")
	}
	warm := func() {
		for range 3 {
			for _, name := range []string{"tiny.css.gz", "film.mp4.gz", "nothing.js.gz", "app.js.gz.gz"} {
				if _, err := os.Stat(filepath.Join(site, name)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: got %v, want %v", name, err, fs.ErrNotExist)
				}
			}
			if again, err := os.ReadFile(filepath.Join(site, "app.js.gz")); err != nil || !bytes.Equal(again, got) {
				t.Errorf("again: got %d bytes, %v", len(again), err)
			}
		}
	}
	warm()
	if counts := o.since(warm); len(counts) > 0 {
		t.Errorf("got %v, want no operation at all", counts)
	}
}

func TestACompanionFollowsAMovedTag(t *testing.T) {
	w := newWorld(t)
	before, after := script(1, 20_000), script(2, 20_000)
	w.Publish("my-app", "live", map[string]string{"app.js": before})
	point := w.mount(w.newFS())
	read := func(want string) os.FileInfo {
		path := filepath.Join(point, "my-app", "live", "app.js")
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			_, err := os.ReadFile(path)
			data, errGz := os.ReadFile(path + ".gz")
			if err == nil && errGz == nil && gunzip(t, data) == want {
				info, err := os.Stat(path + ".gz")
				if err != nil {
					t.Fatal(err)
				}
				return info
			}
			if time.Now().After(end) {
				t.Fatalf("got %v and %v", err, errGz)
			}
		}
	}
	old := read(before)
	w.Publish("my-app", "live", map[string]string{"app.js": after})
	if now := read(after); now.ModTime().Equal(old.ModTime()) {
		t.Error("companions of two files have one mtime")
	}
}
