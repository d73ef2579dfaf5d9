package namespace

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/site"
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

// open starts a namespace on a store in dir.
func (w *world) open(dir string, refresh time.Duration, repos ...string) *Live {
	w.T.Helper()
	store, err := cache.Open(dir, 1<<30)
	if err != nil {
		w.T.Fatal(err)
	}
	live := Open(Options{Registry: w.Client, Store: store, Refresh: refresh, Repositories: repos})
	w.T.Cleanup(func() {
		live.Close()
		store.Close()
	})
	return live
}

// bytesOf reads a site's files as tree.Content.
type bytesOf struct{ *site.Site }

func (b bytesOf) ReadAt(n tree.Node, p []byte, off int64) (int, error) {
	return b.Site.ReadAt(context.Background(), n, p, off)
}

// read gives a file of what a name in the mount is, or the error.
func read(l *Live, dir, name, file string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	e, err := l.Lookup(ctx, dir, name)
	if err != nil {
		return "", err
	}
	if e.Site == nil {
		return "", errors.New("a folder")
	}
	data, err := fs.ReadFile(e.Site.Tree.FS(bytesOf{e.Site}), file)
	return string(data), err
}

func wantRead(t testing.TB, l *Live, dir, name, file, want string) {
	t.Helper()
	if got, err := read(l, dir, name, file); got != want || err != nil {
		t.Errorf("%s/%s/%s: got %.40q, %v; want %.40q", dir, name, file, got, err, want)
	}
}

func wantError(t testing.TB, l *Live, dir, name string, want error) {
	t.Helper()
	if _, err := read(l, dir, name, "x"); !errors.Is(err, want) {
		t.Errorf("%s/%s: got %v, want %v", dir, name, err, want)
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
