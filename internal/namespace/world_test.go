package namespace

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"go.uber.org/goleak"

	"github.com/regfs/regfs/internal/bundle"
	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// world is a registry in this process, with its requests counted, and the means
// to publish sites in it.
type world struct {
	t      testing.TB
	server *httptest.Server
	client *registry.Client

	mu       sync.Mutex
	requests []string // "GET /v2/…" of what the namespace asked
	sent     int64    // bytes of blobs
	down     bool
	answer   func(w http.ResponseWriter, r *http.Request) bool // in place of the registry's, if true
}

func newWorld(t testing.TB) *world {
	w := &world{t: t}
	inner := ggcr.New(ggcr.Logger(slog.NewLogLogger(slog.DiscardHandler, 0)))
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") == "publisher" {
			inner.ServeHTTP(rw, r)
			return
		}
		w.mu.Lock()
		w.requests = append(w.requests, r.Method+" "+r.URL.Path)
		down, answer := w.down, w.answer
		w.mu.Unlock()
		switch {
		case down:
			panic(http.ErrAbortHandler) // the connection breaks
		case answer != nil && answer(rw, r):
			return
		}
		inner.ServeHTTP(&countingWriter{rw, w, strings.Contains(r.URL.Path, "/blobs/")}, r)
	}))
	t.Cleanup(w.server.Close)
	w.client = w.newClient()
	return w
}

func (w *world) newClient(options ...registry.Option) *registry.Client {
	w.t.Helper()
	c, err := registry.New(w.server.URL, options...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.CloseIdle)
	return c
}

type countingWriter struct {
	http.ResponseWriter
	w     *world
	count bool
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if c.count {
		c.w.mu.Lock()
		c.w.sent += int64(len(p))
		c.w.mu.Unlock()
	}
	return c.ResponseWriter.Write(p)
}

// since runs f and gives the requests and bytes of blobs that it took.
func (w *world) since(f func()) ([]string, int64) {
	w.mu.Lock()
	w.requests, w.sent = nil, 0
	w.mu.Unlock()
	f()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests), w.sent
}

func (w *world) setDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

func (w *world) setAnswer(f func(http.ResponseWriter, *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
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
	if _, err := w.newClient(registry.WithUserAgent("publisher")).Push(context.Background(), result.Path, repo, o.Version, nil); err != nil {
		w.t.Fatal(err)
	}
}

// open starts a namespace on a store in dir.
func (w *world) open(dir string, refresh time.Duration, repos ...string) *Live {
	w.t.Helper()
	store, err := cache.Open(dir, 1<<30)
	if err != nil {
		w.t.Fatal(err)
	}
	live := Open(Options{Registry: w.client, Store: store, Refresh: refresh, Repositories: repos})
	w.t.Cleanup(func() {
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
