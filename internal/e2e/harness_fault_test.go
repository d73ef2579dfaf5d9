package e2e

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// faultProxy stands before a registry and spoils what the rules say. What it
// does depends on nothing but the rules and the requests, so that a row of a
// table is the same every time.
type faultProxy struct {
	*httptest.Server
	upstream string // host:port of the registry

	mu    sync.Mutex // guards what follows
	rules []*rule
}

// rule spoils the answers to some requests.
type rule struct {
	match func(*http.Request) bool
	times int // how often, then the answers are honest; 0 is always
	spoil fault
	hits  []hit // requests that match, also those answered honestly
}

// hit is a request that a rule matched.
type hit struct{ method, path string }

// fault answers a request in the registry's place.
type fault func(w http.ResponseWriter, req *http.Request, p *faultProxy)

// startFaultProxy puts a proxy without rules before the registry at host.
func startFaultProxy(t testing.TB, host string) *faultProxy {
	t.Helper()
	p := &faultProxy{upstream: host}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.close)
	return p
}

// close ends also what hangs.
func (p *faultProxy) close() {
	p.CloseClientConnections()
	p.Close()
}

func (p *faultProxy) host() string { return p.Listener.Addr().String() }

// spoil has one rule from now on, and gives it.
func (p *faultProxy) spoil(match func(*http.Request) bool, times int, f fault) *rule {
	r := &rule{match: match, times: times, spoil: f}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = []*rule{r}
	return r
}

// heal has no rules from now on.
func (p *faultProxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

// seen are the requests that r matched so far.
func (p *faultProxy) seen(r *rule) []hit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.hits
}

func (p *faultProxy) serve(w http.ResponseWriter, req *http.Request) {
	p.mu.Lock()
	var f fault
	for _, r := range p.rules {
		if f == nil && r.match(req) {
			r.hits = append(r.hits, hit{req.Method, req.URL.Path})
			if r.times == 0 || len(r.hits) <= r.times {
				f = r.spoil
			}
		}
	}
	p.mu.Unlock()
	if f == nil {
		f = honest
	}
	f(w, req, p)
}

// reply is a whole answer of the registry.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ask passes req on; drop are headers that are left out.
func (p *faultProxy) ask(req *http.Request, drop ...string) (reply, error) {
	out, err := http.NewRequestWithContext(req.Context(), req.Method, "http://"+p.upstream+req.URL.RequestURI(), req.Body)
	if err != nil {
		return reply{}, err
	}
	out.Header, out.ContentLength = req.Header.Clone(), req.ContentLength
	for _, name := range drop {
		out.Header.Del(name)
	}
	resp, err := client.Do(out)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, body}, err
}

// write sends a reply; with length it announces the body's.
func (r reply) write(w http.ResponseWriter, length bool) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
	if length {
		w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
	}
	w.WriteHeader(r.status)
	if !length { // what is sent after it has no known length
		w.(http.Flusher).Flush()
	}
	_, _ = w.Write(r.body) // who leaves early is no news
}

// honest passes on.
func honest(w http.ResponseWriter, req *http.Request, p *faultProxy) {
	r, err := p.ask(req)
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadGateway)
	case req.Method == http.MethodHead:
		for name, values := range r.header {
			w.Header()[name] = values
		}
		w.WriteHeader(r.status)
	default:
		r.write(w, true)
	}
}

// altered passes on what change makes of the answer.
func altered(length bool, change func(*reply), drop ...string) fault {
	return func(w http.ResponseWriter, req *http.Request, p *faultProxy) {
		r, err := p.ask(req, drop...)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		change(&r)
		r.write(w, length)
	}
}

// status answers with it; header is pairs of names and values.
func status(code int, header ...string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ *faultProxy) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		http.Error(w, "the proxy was told to say so", code)
	}
}

// says answers everything with a page.
func says(text string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ *faultProxy) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, text)
	}
}

// drop ends the connection with a RST in place of an answer.
func drop(w http.ResponseWriter, _ *http.Request, _ *faultProxy) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// silence takes a request and never answers.
func silence(_ http.ResponseWriter, req *http.Request, _ *faultProxy) { <-req.Context().Done() }

// late is honest, after a while.
func late(by time.Duration) fault {
	return func(w http.ResponseWriter, req *http.Request, p *faultProxy) {
		select {
		case <-time.After(by):
			honest(w, req, p)
		case <-req.Context().Done():
		}
	}
}

// trickle sends a byte now and then.
func trickle(w http.ResponseWriter, req *http.Request, p *faultProxy) {
	r, err := p.ask(req)
	if err != nil {
		return
	}
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.WriteHeader(r.status)
	for i := range r.body {
		if _, err := w.Write(r.body[i : i+1]); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-req.Context().Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// cut announces all of an answer, sends a part of its body, a half or less than
// it, and ends the connection.
func cut(part int) fault {
	return func(w http.ResponseWriter, req *http.Request, p *faultProxy) {
		r, err := p.ask(req)
		if err != nil {
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
		r.header.Del("Content-Length")
		for name, values := range r.header {
			w.Header()[name] = values
		}
		w.WriteHeader(r.status)
		_, _ = w.Write(r.body[:len(r.body)/part])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// short ends an answer too early, as if that were all.
func short(r *reply) { r.body = r.body[:len(r.body)/2] }

// long adds to an answer.
func long(r *reply) { r.body = append(bytes.Clone(r.body), "and more"...) }

// flipped changes one bit in the middle.
func flipped(r *reply) {
	r.body = bytes.Clone(r.body)
	r.body[len(r.body)/2] ^= 0x10
}

// ranged says another range than was asked for.
func ranged(format string) func(*reply) {
	return func(r *reply) {
		var from, to, total int64
		if _, err := fmt.Sscanf(r.header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &total); err == nil {
			r.header.Set("Content-Range", fmt.Sprintf(format, from, to, total))
		}
	}
}

// multipart wraps a range as registries do that were asked for two.
func multipart(r *reply) {
	if r.status != http.StatusPartialContent {
		return
	}
	part := fmt.Sprintf("--x\r\nContent-Type: application/octet-stream\r\nContent-Range: %s\r\n\r\n", r.header.Get("Content-Range"))
	r.header.Set("Content-Type", "multipart/byteranges; boundary=x")
	r.header.Del("Content-Range")
	r.body = append(append([]byte(part), r.body...), "\r\n--x--\r\n"...)
}

// onlyRanges is a fault of ranges alone.
func onlyRanges(f fault) fault {
	return func(w http.ResponseWriter, req *http.Request, p *faultProxy) {
		if req.Header.Get("Range") == "" {
			honest(w, req, p)
			return
		}
		f(w, req, p)
	}
}

// redirect sends to another address.
func redirect(to string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ *faultProxy) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// expired sends to a storage with a signature that it finds too old.
func expired(w http.ResponseWriter, req *http.Request, p *faultProxy) {
	storage(http.StatusForbidden, "AccessDenied")(w, req, p)
}

// storage sends to a storage, which is ourselves by another name, that answers with
// a status. A rule matches both requests.
func storage(status int, code string) fault {
	return func(w http.ResponseWriter, req *http.Request, p *faultProxy) {
		host, port, _ := net.SplitHostPort(p.host())
		if strings.HasPrefix(req.Host, host) {
			redirect("http://"+net.JoinHostPort("localhost", port)+req.URL.Path+"?X-Signature="+canarySignature)(w, req, p)
			return
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><SignatureProvided>%s</SignatureProvided></Error>", code, req.URL.RawQuery)
	}
}

// manifestOf matches requests for the manifest that reference names.
func manifestOf(reference string) func(*http.Request) bool {
	return func(req *http.Request) bool { return strings.HasSuffix(req.URL.Path, "/manifests/"+reference) }
}

// blobOf matches requests for the bytes of a blob.
func blobOf(digest string) func(*http.Request) bool {
	return func(req *http.Request) bool {
		return req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/blobs/"+digest)
	}
}

// discard is for servers whose clients are meant to fail.
var discard = log.New(io.Discard, "", 0)
