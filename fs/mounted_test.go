package fs

import (
	"bytes"
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

// walk reads everything below dir: names, attributes, contents.
func walk(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if _, err := os.Stat(path); err != nil {
			return err
		}
		_, err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAWarmSiteAsksTheDaemonNothing(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{"big": strings.Repeat("text ", 1<<20)}
	for i := range 100 {
		files[fmt.Sprintf("d%d/f%d", i%7, i)] = fmt.Sprint("content ", i)
	}
	w.Publish("my-app", "v1", files)
	o := &operations{FS: w.newFS()}
	site := filepath.Join(w.mount(o), "my-app", "v1")
	warm := func() {
		walk(t, site)
		for i := range 10 {
			if _, err := os.Stat(filepath.Join(site, "d1", fmt.Sprint("missing", i))); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a missing file: got %v", err)
			}
		}
	}
	warm()
	time.Sleep(unreadyTimeout)                                 // entries of READDIRPLUS that were not ready
	warm()                                                     // are looked up once more
	if counts := o.since(func() { warm() }); len(counts) > 0 { // all of it again
		t.Errorf("got %v, want no operation at all", counts)
	}
}

func TestAMovedTagIsSeenAtOnceAndOpenFilesStay(t *testing.T) {
	for _, place := range []string{"my-app/live", "my-app:live", ".regfs/hosts/live--my-app"} {
		t.Run(place, func(t *testing.T) { testMove(t, place) })
	}
}

func testMove(t *testing.T, place string) {
	w := newWorld(t)
	w.Publish("my-app", "live", map[string]string{"d/f": "old", "gone": "x", "404.html": "x"})
	root := filepath.Join(w.mount(w.newFS()), place)
	path := filepath.Join(root, "d", "f")
	if _, err := os.Stat(filepath.Join(root, ".regfs", "404.html")); err != nil {
		t.Error(err)
	}
	open, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	w.Publish("my-app", "live", map[string]string{"d/f": "new", "d/g": "more"})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got, err := os.ReadFile(path)
		if err != nil || string(got) != "old" && string(got) != "new" {
			t.Fatalf("got %q, %v", got, err)
		}
		if string(got) == "new" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the move was not seen")
		}
	}
	if got, err := io.ReadAll(open); string(got) != "old" || err != nil {
		t.Errorf("the open file: got %q, %v; want %q", got, err, "old")
	}
	if got, err := dir.Readdirnames(-1); fmt.Sprint(got) != "[f]" || err != nil {
		t.Errorf("the open folder: got %v, %v; want f", got, err)
	}
	for _, name := range []string{"gone", ".regfs/404.html"} {
		if _, err := os.Stat(filepath.Join(root, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s, which is gone: got %v", name, err)
		}
	}
}

func TestListingsOfTheNamespaceFollow(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"f": "x"})
	f := New(w.live, 200*time.Millisecond, func() []byte { return nil })
	point := w.mount(f)
	names := func() string {
		entries, err := os.ReadDir(filepath.Join(point, "my-app"))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(entries)
	}
	if got := names(); got != "[d v1/]" {
		t.Errorf("got %v, want v1", got)
	}
	w.Publish("my-app", "v2", map[string]string{"f": "x"})
	for end := time.Now().Add(10 * time.Second); names() != "[d v1/ d v2/]"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got %v, want v2 too", names())
		}
	}
}

func TestNothingCanBeWritten(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"f": "x"})
	dir := filepath.Join(w.mount(w.newFS()), "my-app", "v1")
	f := filepath.Join(dir, "f")
	for name, err := range map[string]error{
		"create": os.WriteFile(filepath.Join(dir, "new"), nil, 0o644), "write": os.WriteFile(f, nil, 0o644),
		"remove": os.Remove(f), "rename": os.Rename(f, f+"2"), "mkdir": os.Mkdir(f+"3", 0o755),
		"chmod": os.Chmod(f, 0o777), "chtimes": os.Chtimes(f, time.Now(), time.Now()), "symlink": os.Symlink("f", f+"4"),
		"link": os.Link(f, f+"5"), "truncate": os.Truncate(f, 0), "chown": os.Chown(f, 1, 1),
	} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: got %v, want EROFS", name, err)
		}
	}
}

func TestTheMountTellsOfItself(t *testing.T) {
	w := newWorld(t)
	var state atomic.Value
	f := New(w.live, time.Hour, func() []byte { return []byte(state.Load().(string)) })
	point := w.mount(f)
	entries, err := os.ReadDir(point)
	if err != nil || len(entries) != 0 {
		t.Errorf("the root: got %v, %v; want nothing listed", entries, err)
	}
	about := filepath.Join(point, ".regfs")
	if got, err := os.ReadFile(filepath.Join(about, "ready")); string(got) != "ok\n" || err != nil {
		t.Errorf("ready: got %q, %v", got, err)
	}
	for _, want := range []string{"one", "another state"} {
		state.Store(want)
		if got, err := os.ReadFile(filepath.Join(about, "status.json")); string(got) != want || err != nil {
			t.Errorf("status: got %q, %v; want %q", got, err, want)
		}
	}
	if entries, err = os.ReadDir(about); err != nil || len(entries) != 2 {
		t.Errorf(".regfs: got %v, %v; want two files", entries, err)
	}
}

func TestAMountEndsWhileFilesAreOpen(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"f": "x"})
	point := filepath.Join(t.TempDir(), "mnt")
	m, err := Start(w.newFS(), point, MountOptions{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	letUsPoll(t, m)
	open, err := os.Open(filepath.Join(point, "my-app", "v1", "f"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(w.newFS(), point, MountOptions{}); !errors.Is(err, ErrCannotMount) {
		t.Errorf("a second mount: got %v, want an error", err)
	}
	if err := Unmount(point, false); !errors.Is(err, ErrBusy) {
		t.Errorf("unmount: got %v, want busy", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if state, err := StateOf(point); state != NotMounted || err != nil {
		t.Errorf("after Close: got %v, %v; want not mounted", state, err)
	}
	if err := Unmount(point, false); !errors.Is(err, ErrNotMounted) {
		t.Errorf("unmount again: got %v, want not mounted", err)
	}
	open.Close()
	<-m.Done()
}

func TestAFolderWithSomethingInItIsNotCovered(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "precious"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, point := range []string{dir, filepath.Join(dir, "precious"), filepath.Join(dir, "no", "such")} {
		if _, err := Start(w.newFS(), point, MountOptions{}); !errors.Is(err, ErrCannotMount) {
			t.Errorf("%s: got %v, want an error", point, err)
		}
	}
}

// TestLargeFilesAreReadWithoutACopy reads a file of several chunks in all sizes
// and places: what is spliced from the content store must be what was packed.
func TestLargeFilesAreReadWithoutACopy(t *testing.T) {
	w := newWorld(t)
	big := make([]byte, 9<<20+12345)
	for i := range big {
		big[i] = byte(i>>16) ^ byte(i>>8) ^ byte(i*7)
	}
	w.Publish("my-app", "v1", map[string]string{"big": string(big)})
	path := filepath.Join(w.mount(w.newFS()), "my-app", "v1", "big")
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, big) {
		t.Fatalf("got %d other bytes, %v", len(got), err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECT, 0) // past the kernel's page cache
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, off := range []int{0, 4096, 4<<20 - 512<<10, 4 << 20, 8<<20 + 4096, len(big) &^ 4095} {
		p := make([]byte, 1<<20)
		n, err := f.ReadAt(p, int64(off))
		if want := big[off:min(len(big), off+len(p))]; !bytes.Equal(p[:n], want) || err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("at %d: got %d bytes, %v; want %d", off, n, err, len(want))
		}
	}
}
