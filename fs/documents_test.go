package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// pages are documents: "page" never changes, "state" is a number that does, and
// in the folder "made" is whatever is asked for, as long as it is a number.
type pages struct {
	state atomic.Int64
	made  atomic.Int64
}

func (p *pages) Names() []string         { return []string{"page", "state"} }
func (p *pages) Folder(path string) bool { return path == "made" }

func (p *pages) Document(_ context.Context, path string) ([]byte, bool, error) {
	switch {
	case path == "page":
		return []byte("page"), true, nil
	case path == "state":
		return []byte(strings.Repeat("x", int(p.state.Load()))), false, nil
	case path == "made/broken":
		return nil, false, errors.New("the registry is away")
	case strings.HasPrefix(path, "made/"):
		p.made.Add(1)
		return []byte(path), true, nil
	}
	return nil, false, fs.ErrNotExist
}

func mountPages(t *testing.T) (*pages, *FS, string) {
	t.Helper()
	w := newWorld(t)
	f, p := w.newFS(), &pages{}
	f.ShowDocuments(p)
	return p, f, filepath.Join(w.mount(f), ".regfs")
}

func TestADocumentThatIsOpenStaysAsItIs(t *testing.T) {
	p, _, dir := mountPages(t)
	p.state.Store(3)
	old, err := os.Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	before, err := old.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p.state.Store(100_000)
	now, err := os.Stat(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	if now.Size() != 100_000 || before.Size() != 3 || now.ModTime().Equal(before.ModTime()) {
		t.Errorf("got %d bytes at %v, then %d at %v; want 3, then 100000, at another time", before.Size(), before.ModTime(), now.Size(), now.ModTime())
	}
	if text, err := io.ReadAll(old); err != nil || string(text) != "xxx" {
		t.Errorf("the open file: got %d bytes, %v, want the three that it had", len(text), err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "state")); err != nil || len(text) != 100_000 {
		t.Errorf("got %d bytes, %v, want all of the new", len(text), err)
	}
}

func TestDocumentsSayWhatTheyAre(t *testing.T) {
	_, _, dir := mountPages(t)
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := "[page ready state status.json]"; fmt.Sprint(names) != want || err != nil {
		t.Errorf("got %v, %v, want %v", names, err, want)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "made/7")); string(text) != "made/7" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "made")); len(entries) != 0 || err != nil {
		t.Errorf("the folder lists %v, %v, want nothing", entries, err)
	}
	for path, want := range map[string]error{
		"nothing": syscall.ENOENT, "page/x": syscall.ENOTDIR, "made/broken": syscall.EIO, "made/a/b": syscall.ENOTDIR,
	} {
		if _, err := os.ReadFile(filepath.Join(dir, path)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
}

// TestTheKernelForgetsOldDocuments: whoever asks for one after the other does
// not fill the memory with them.
func TestTheKernelForgetsOldDocuments(t *testing.T) {
	p, f, dir := mountPages(t)
	for i := range 10 * maxKept {
		if _, err := os.ReadFile(filepath.Join(dir, "made", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	const others = 10 // the root and folders
	for end := time.Now().Add(30 * time.Second); f.inodes.len() > maxKept+others; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the kernel knows %d nodes, want about %d", f.inodes.len(), maxKept)
		}
	}
	before := p.made.Load()
	for range 3 {
		if _, err := os.ReadFile(filepath.Join(dir, "made", fmt.Sprint(10*maxKept-1))); err != nil {
			t.Fatal(err)
		}
	}
	if made := p.made.Load() - before; made != 0 {
		t.Errorf("the last document was made %d times more, want the kernel to know it", made)
	}
}
