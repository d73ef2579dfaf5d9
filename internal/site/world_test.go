package site

import (
	"context"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/testregistry"
	"github.com/regfs/regfs/internal/tree"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// world is a registry in this process, and what is made of it.
type world struct{ *testregistry.Registry }

func newWorld(t testing.TB) *world { return &world{testregistry.New(t)} }

// open makes a loader on a store in dir. end ends it, as the test does.
func (w *world) open(dir string) (l *Loader, end func()) {
	w.T.Helper()
	store, err := cache.Open(dir, 1<<30)
	if err != nil {
		w.T.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	l = NewLoader(ctx, Options{Registry: w.Client, Store: store})
	end = sync.OnceFunc(func() {
		stop()
		l.Wait()
		store.Close()
	})
	w.T.Cleanup(end)
	return l, end
}

// site makes the site that a tag names now.
func (w *world) site(l *Loader, repo, tag string) *Site {
	w.T.Helper()
	doc, err := w.Client.Manifest(context.Background(), repo, tag)
	if err != nil {
		w.T.Fatal(err)
	}
	s, err := l.Load(context.Background(), repo, doc)
	if err != nil {
		w.T.Fatal(err)
	}
	return s
}

// load publishes files and makes the site of them.
func (w *world) load(l *Loader, repo, tag string, files map[string]string) *Site {
	w.T.Helper()
	w.Publish(repo, tag, files)
	return w.site(l, repo, tag)
}

// bytesOf reads a site's files as tree.Content.
type bytesOf struct{ *Site }

func (b bytesOf) ReadAt(n tree.Node, p []byte, off int64) (int, error) {
	return b.Site.ReadAt(context.Background(), n, p, off)
}

// read gives a file of a site, or the error.
func read(s *Site, file string) (string, error) {
	data, err := fs.ReadFile(s.Tree.FS(bytesOf{s}), file)
	return string(data), err
}

func wantRead(t testing.TB, s *Site, file, want string) {
	t.Helper()
	if got, err := read(s, file); got != want || err != nil {
		t.Errorf("%s: got %.40q, %v; want %.40q", file, got, err, want)
	}
}

// eventually waits until ok, which it asks again and again.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func noise(size int, seed byte) string {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return string(b)
}
