// Package testregistry is a registry in the process of a test: it takes
// published folders, counts what is asked of it, and fails as it is told.
//
// It knows nothing of what is tested with it, and no command is built with it.
package testregistry

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/regfs/regfs/internal/bundle"
	"github.com/regfs/regfs/registry"
)

// publisher is the user agent of requests that are neither counted nor failed.
const publisher = "publisher"

// Registry is a registry that ends with its test.
type Registry struct {
	T      testing.TB
	URL    string
	Client *registry.Client // its requests are counted

	mu       sync.Mutex
	requests []string
	sent     int64
	down     bool
	answer   func(http.ResponseWriter, *http.Request) bool
}

// New starts one.
func New(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{T: t}
	inner := ggcr.New(ggcr.Logger(slog.NewLogLogger(slog.DiscardHandler, 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("User-Agent") == publisher {
			inner.ServeHTTP(w, req)
			return
		}
		r.serve(inner, w, req)
	}))
	t.Cleanup(server.Close)
	r.URL = server.URL
	r.Client = r.NewClient()
	return r
}

// serve counts a request and answers it, or fails as it is told.
func (r *Registry) serve(inner http.Handler, w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.requests = append(r.requests, req.Method+" "+req.URL.Path)
	down, answer := r.down, r.answer
	r.mu.Unlock()
	switch {
	case down:
		panic(http.ErrAbortHandler) // the connection breaks
	case answer != nil && answer(w, req):
	default:
		inner.ServeHTTP(&countingWriter{w, r, strings.Contains(req.URL.Path, "/blobs/")}, req)
	}
}

type countingWriter struct {
	http.ResponseWriter
	registry *Registry
	count    bool
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if c.count {
		c.registry.mu.Lock()
		c.registry.sent += int64(len(p))
		c.registry.mu.Unlock()
	}
	return c.ResponseWriter.Write(p)
}

// NewClient makes another client of the registry. It ends with the test.
func (r *Registry) NewClient(options ...registry.Option) *registry.Client {
	r.T.Helper()
	c, err := registry.New(r.URL, options...)
	if err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(c.CloseIdle)
	return c
}

// Requests are those so far, or since the last Since, as "GET /v2/…".
func (r *Registry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Since runs f and gives the requests and the bytes of blobs that it took.
func (r *Registry) Since(f func()) (requests []string, bytes int64) {
	r.mu.Lock()
	r.requests, r.sent = nil, 0
	r.mu.Unlock()
	f()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests), r.sent
}

// SetDown has every connection break, or not any more.
func (r *Registry) SetDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// SetAnswer has f asked first: where it reports true it has answered.
func (r *Registry) SetAnswer(f func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// Publish packs files, by their paths, and pushes them as repo:tag.
func (r *Registry) Publish(repo, tag string, files map[string]string) {
	r.T.Helper()
	r.PublishAs(repo, bundle.Options{Version: tag}, files)
}

// PublishAs packs files as the options say.
func (r *Registry) PublishAs(repo string, o bundle.Options, files map[string]string) {
	r.T.Helper()
	dir := r.T.TempDir()
	o.Dir, o.Out, o.Format = dir, r.T.TempDir(), bundle.FormatDual
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.T.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			r.T.Fatal(err)
		}
	}
	result, err := bundle.Write(context.Background(), o)
	if err != nil {
		r.T.Fatal(err)
	}
	if _, err := r.NewClient(registry.WithUserAgent(publisher)).Push(context.Background(), result.Path, repo, o.Version, registry.PushOptions{}); err != nil {
		r.T.Fatal(err)
	}
}
