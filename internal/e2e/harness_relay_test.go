package e2e

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// relay stands before a registry, counts what is asked and sent, and can do what
// networks do: refuse, hang, answer errors.
type relay struct {
	t       testing.TB
	host    string // host:port at which it listens
	proxy   *httputil.ReverseProxy
	server  *http.Server
	held    func()        // lets go of the port while it is down, nil while it is up
	hanging chan struct{} // closed at the end, to let go of hanging requests

	mu   sync.Mutex // guards what follows
	seen []request
	mode relayMode
}

// relayMode is what the relay does with a request.
type relayMode int

const (
	pass      relayMode = iota
	hang                // take the request and never answer
	fail                // answer 500
	noCatalog           // pass, but refuse to list repositories, as large registries do
	slow                // the same, and each answer takes slowness
)

// slowness is how long a slow registry needs.
const slowness = time.Second

// request is one request that a relay passed on, or answered itself.
type request struct {
	method, path string
	kind         string // manifests, blobs, tags, _catalog or other
	status       int
	bytes        int64 // of the answer's body, as far as it was sent
	at           time.Time
}

// startRelay puts a relay before the registry at host.
func startRelay(t testing.TB, host string) *relay {
	t.Helper()
	target := &url.URL{Scheme: "http", Host: host}
	r := &relay{t: t, host: freeAddress(t), hanging: make(chan struct{})}
	transport := &http.Transport{DisableCompression: true}
	r.proxy = &httputil.ReverseProxy{
		// Without In.Host the registry would send pushers to itself, past us.
		Rewrite:        func(p *httputil.ProxyRequest) { p.SetURL(target); p.Out.Host = p.In.Host },
		Transport:      transport,
		ModifyResponse: r.count,
		ErrorLog:       log.New(io.Discard, "", 0), // clients that leave early are no news
	}
	r.up()
	t.Cleanup(func() {
		r.letGo()
		_ = r.server.Close()
		r.release()
		transport.CloseIdleConnections()
	})
	return r
}

// up listens, again after down.
func (r *relay) up() {
	r.t.Helper()
	r.release()
	var l net.Listener
	var err error
	// The port may still be on its way out after down.
	if !eventually(startLimit, func() bool { l, err = net.Listen("tcp", r.host); return err == nil }) {
		r.t.Fatal(err)
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: startLimit}
	r.server = server
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			r.t.Error(err)
		}
	}()
}

// down ends all connections; new ones are refused. The port stays ours: another
// registry of this machine that got it would speak in the place of this one.
func (r *relay) down() {
	_ = r.server.Close()
	if r.held == nil {
		r.held = hold(r.t, r.host)
	}
}

// hold takes a port without listening at it, and gives what lets go of it.
func hold(t testing.TB, host string) (release func()) {
	t.Helper()
	address, err := netip.ParseAddrPort(host)
	must(t, err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	// Beside connections that are on their way out, but not beside listeners.
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	must(t, unix.Bind(fd, &unix.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}))
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0))
	return func() { must(t, unix.Close(fd)) }
}

// release lets go of a port that is held.
func (r *relay) release() {
	if r.held != nil {
		r.held()
		r.held = nil
	}
}

// letGo ends the requests that hang.
func (r *relay) letGo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.hanging)
	r.hanging = make(chan struct{})
}

// set chooses what happens to requests from now on.
func (r *relay) set(m relayMode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mode = m
}

func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	mode, hanging := r.mode, r.hanging
	r.mu.Unlock()
	if mode == slow {
		select {
		case <-time.After(slowness):
		case <-req.Context().Done():
		}
		mode = noCatalog
	}
	switch {
	case mode == noCatalog && newRequest(req, 0).kind == "_catalog":
		r.add(newRequest(req, http.StatusUnauthorized))
		w.WriteHeader(http.StatusUnauthorized)
	case mode == pass, mode == noCatalog:
		r.proxy.ServeHTTP(w, req)
	case mode == fail:
		r.add(newRequest(req, http.StatusInternalServerError))
		http.Error(w, "the relay was told to fail", http.StatusInternalServerError)
	case mode == hang:
		r.add(newRequest(req, 0))
		select {
		case <-req.Context().Done():
		case <-hanging:
			panic(http.ErrAbortHandler) // without it the answer would be an empty page
		}
	}
}

// count notes an answer, now and as its body is read.
func (r *relay) count(resp *http.Response) error {
	i := r.add(newRequest(resp.Request, resp.StatusCode))
	resp.Body = &countedBody{resp.Body, func(n int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen[i].bytes += int64(n)
	}}
	return nil
}

// add appends q and gives its place.
func (r *relay) add(q request) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, q)
	return len(r.seen) - 1
}

func newRequest(req *http.Request, status int) request {
	q := request{method: req.Method, path: req.URL.Path, kind: "other", status: status, at: time.Now()}
	for _, kind := range []string{"manifests", "blobs", "tags", "_catalog"} {
		if strings.Contains(req.URL.Path+"/", "/"+kind+"/") {
			q.kind = kind
		}
	}
	return q
}

// countedBody tells count how many bytes went through.
type countedBody struct {
	io.ReadCloser
	count func(int)
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.count(n)
	return n, err
}

// mark is a point in time for since.
func (r *relay) mark() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// since lists the requests after mark, of one kind, or of all when kind is "".
func (r *relay) since(mark int, kind string) []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []request
	for _, q := range r.seen[mark:] {
		if kind == "" || q.kind == kind {
			found = append(found, q)
		}
	}
	return found
}

// bytesOf adds up the bodies of the answers.
func bytesOf(requests []request) (sum int64) {
	for _, q := range requests {
		sum += q.bytes
	}
	return sum
}
