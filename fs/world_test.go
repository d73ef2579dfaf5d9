package fs

import (
	"context"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/hanwen/go-fuse/v2/fuse"
	"go.uber.org/goleak"

	"github.com/regfs/regfs/internal/bundle"
	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/namespace"
	"github.com/regfs/regfs/registry"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m,
		// go-fuse keeps a goroutine that waits for requests until the process
		// ends when a mount was detached while in use.
		goleak.IgnoreAnyFunction("github.com/hanwen/go-fuse/v2/fuse.(*Server).Serve"))
}

// world is a registry in this process and a namespace of it.
type world struct {
	t      testing.TB
	server *httptest.Server
	client *registry.Client
	live   *namespace.Live
}

func newWorld(t testing.TB) *world {
	server := httptest.NewServer(ggcr.New(ggcr.Logger(slog.NewLogLogger(slog.DiscardHandler, 0))))
	client, err := registry.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	store, err := cache.Open(t.TempDir(), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	live := namespace.Open(namespace.Options{Registry: client, Store: store, Refresh: 200 * time.Millisecond})
	t.Cleanup(func() {
		live.Close()
		store.Close()
		client.CloseIdle()
		server.Close()
	})
	return &world{t, server, client, live}
}

// publish packs files and pushes them as repo:tag.
func (w *world) publish(repo, tag string, files map[string]string) {
	w.t.Helper()
	w.publishAs(repo, bundle.Options{Version: tag}, files)
}

// publishAs packs files as the options say.
func (w *world) publishAs(repo string, o bundle.Options, files map[string]string) {
	w.t.Helper()
	dir := w.t.TempDir()
	o.Dir, o.Out, o.Format = dir, w.t.TempDir(), bundle.FormatDual
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	result, err := bundle.Write(context.Background(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.client.Push(context.Background(), result.Path, repo, o.Version, nil); err != nil {
		w.t.Fatal(err)
	}
}

// newFS makes the file system, unmounted. Its entries of the namespace are kept
// for an hour, so that whatever shows before came by being told.
func (w *world) newFS() *FS {
	f := New(w.live, time.Hour, func() []byte { return []byte(`{"state": "test"}`) })
	w.live.OnChange(f.Changed)
	return f
}

// mount mounts the file system in a folder of the test.
func (w *world) mount(f fuse.RawFileSystem) string {
	w.t.Helper()
	point := filepath.Join(w.t.TempDir(), "mnt")
	m, err := Start(f, point, MountOptions{Source: "test"})
	if err != nil {
		w.t.Fatalf("this test mounts, which takes root or fusermount3, and /dev/fuse: %v", err)
	}
	letUsPoll(w.t, m)
	w.t.Cleanup(func() {
		if err := m.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return point
}

// letUsPoll makes a mount safe to open files of in the process that serves it,
// which only tests do. The runtime has the kernel poll each file that it opens,
// and keeps its processor meanwhile; WaitMount has the kernel learn that there is
// no such request.
func letUsPoll(t testing.TB, m *Mount) {
	t.Helper()
	if err := m.server.WaitMount(); err != nil {
		t.Fatal(err)
	}
}

// lookup asks for names one after another, from the root.
func lookup(t testing.TB, f *FS, names ...string) fuse.EntryOut {
	t.Helper()
	out := fuse.EntryOut{NodeId: uint64(rootID)}
	for _, name := range names {
		in := fuse.InHeader{NodeId: out.NodeId}
		if status := f.Lookup(nil, &in, name, &out); status != fuse.OK {
			t.Fatalf("%q: got %v", name, status)
		}
	}
	return out
}

// operations counts what the kernel asks.
type operations struct {
	*FS
	mu     sync.Mutex
	counts map[string]int
}

func (o *operations) note(op string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.counts == nil {
		o.counts = map[string]int{}
	}
	o.counts[op]++
}

// since runs f and gives the operations that it took.
func (o *operations) since(f func()) map[string]int {
	o.mu.Lock()
	o.counts = map[string]int{}
	o.mu.Unlock()
	f()
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.counts)
}

func (o *operations) Lookup(c <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	o.note("LOOKUP")
	return o.FS.Lookup(c, in, name, out)
}

func (o *operations) GetAttr(c <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	o.note("GETATTR")
	return o.FS.GetAttr(c, in, out)
}

func (o *operations) Open(c <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	o.note("OPEN")
	return o.FS.Open(c, in, out)
}

func (o *operations) OpenDir(c <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	o.note("OPENDIR")
	return o.FS.OpenDir(c, in, out)
}

func (o *operations) Flush(c <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	o.note("FLUSH")
	return o.FS.Flush(c, in)
}

func (o *operations) Access(c <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	o.note("ACCESS")
	return o.FS.Access(c, in)
}

func (o *operations) Read(c <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	o.note("READ")
	return o.FS.Read(c, in, buf)
}

func (o *operations) Readlink(c <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	o.note("READLINK")
	return o.FS.Readlink(c, in)
}

func (o *operations) ReadDir(c <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	o.note("READDIR")
	return o.FS.ReadDir(c, in, out)
}

func (o *operations) ReadDirPlus(c <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	o.note("READDIRPLUS")
	return o.FS.ReadDirPlus(c, in, out)
}
