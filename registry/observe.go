package registry

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// Exchange is one request and what became of it.
type Exchange struct {
	Kind   string        // what was asked for: see kindOf
	Method string        // GET, HEAD, …
	Status int           // of the answer; 0 if there was none
	Took   time.Duration // until the answer's header
}

// Observer is told of what goes over the wire, by many goroutines at once.
type Observer interface {
	Exchanged(Exchange)
	// Received tells that n bytes of an answer's body have come.
	Received(n int)
}

// WithObserver has o told of every request, also those to other hosts: token
// services, and storage that the registry redirects to.
func WithObserver(o Observer) Option {
	return func(s *settings) { s.observer = o }
}

// observed tells an observer.
type observed struct {
	http.RoundTripper
	to Observer
}

// observe wraps t if there is an observer.
func (s settings) observe(t http.RoundTripper) http.RoundTripper {
	if s.observer == nil {
		return t
	}
	return observed{t, s.observer}
}

func (o observed) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	res, err := o.RoundTripper.RoundTrip(req)
	e := Exchange{Kind: kindOf(req.URL.Path), Method: req.Method, Took: time.Since(began)}
	if err == nil {
		e.Status = res.StatusCode
		res.Body = countedBody{res.Body, o.to}
	}
	o.to.Exchanged(e)
	return res, err
}

func (o observed) CloseIdleConnections() {
	if t, ok := o.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// countedBody tells of the bytes of an answer.
type countedBody struct {
	io.ReadCloser
	to Observer
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.to.Received(n)
	}
	return n, err
}

// kindOf tells what a path of the distribution protocol names: manifest, blob,
// upload, tags, catalog, ping; or other, which are token services and storage.
func kindOf(path string) string {
	rest, ok := strings.CutPrefix(path, "/v2/")
	switch {
	case !ok:
		return "other"
	case rest == "":
		return "ping"
	case rest == "_catalog":
		return "catalog"
	case strings.HasSuffix(rest, "/tags/list"):
		return "tags"
	case strings.Contains(rest, "/blobs/uploads/"):
		return "upload"
	case strings.Contains(rest, "/blobs/"):
		return "blob"
	case strings.Contains(rest, "/manifests/"):
		return "manifest"
	}
	return "other"
}
