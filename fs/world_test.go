package fs

import (
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"go.uber.org/goleak"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/namespace"
	"github.com/regfs/regfs/internal/testregistry"
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
	*testregistry.Registry
	live *namespace.Live
}

func newWorld(t testing.TB) *world {
	r := testregistry.New(t)
	store, err := cache.Open(t.TempDir(), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	live := namespace.Open(namespace.Options{Registry: r.Client, Store: store, Refresh: 200 * time.Millisecond})
	t.Cleanup(func() {
		live.Close()
		store.Close()
	})
	return &world{r, live}
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
	w.T.Helper()
	point := filepath.Join(w.T.TempDir(), "mnt")
	m, err := Start(f, point, MountOptions{Source: "test"})
	if err != nil {
		w.T.Fatalf("this test mounts, which takes root or fusermount3, and /dev/fuse: %v", err)
	}
	letUsPoll(w.T, m)
	w.T.Cleanup(func() {
		if err := m.Close(); err != nil {
			w.T.Error(err)
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
