package registry

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// seen keeps what an observer is told.
type seen struct {
	mu        sync.Mutex
	exchanges []Exchange
	bytes     int
}

func (s *seen) Exchanged(e Exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exchanges = append(s.exchanges, e)
}

func (s *seen) Received(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += n
}

func TestKindsOfRequests(t *testing.T) {
	for path, want := range map[string]string{
		"/v2/":                       "ping",
		"/v2/_catalog":               "catalog",
		"/v2/team/docs/tags/list":    "tags",
		"/v2/a/manifests/v1":         "manifest",
		"/v2/a/blobs/sha256:00":      "blob",
		"/v2/a/blobs/uploads/":       "upload",
		"/v2/a/blobs/uploads/1234-5": "upload",
		"/token":                     "other",
		"/v2/a/referrers/sha256:00":  "other",
	} {
		if got := kindOf(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestAnObserverSeesEveryRequestAndByte(t *testing.T) {
	var o seen
	proxy := countRequests(t, startRegistry(t, ""))
	c := newClient(t, proxy.addr(), WithObserver(&o))
	_, layer := pushed(t, c, "app", "v1")
	o.exchanges, o.bytes = nil, 0
	proxy.take(http.MethodGet, http.MethodHead)

	body, err := c.Blob(testContext(t), "app", layer.Digest, layer.Size)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		t.Fatal(err)
	}
	body.Close()
	_, missing := c.Head(testContext(t), "app", "v9")

	o.mu.Lock()
	defer o.mu.Unlock()
	var got []string
	for _, e := range o.exchanges {
		got = append(got, fmt.Sprintf("%s %s %d", e.Method, e.Kind, e.Status))
	}
	if want := []string{"GET blob 200", "HEAD manifest 404"}; missing == nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, missing, want)
	}
	if asked := proxy.take(http.MethodGet, http.MethodHead); o.bytes != int(layer.Size) || len(asked) != len(got) {
		t.Errorf("got %d bytes by %d requests, want %d by %q", o.bytes, len(got), layer.Size, asked)
	}
}
