package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// relay delays what goes through it as a network does: half a round trip each
// way, and one round trip to connect. It limits no bandwidth.
type relay struct {
	target string
	oneWay time.Duration
}

// delayed gives an address from which host is a round trip away.
func (b *bench) delayed(host string, roundTrip time.Duration) (string, error) {
	if roundTrip == 0 {
		return host, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // takes no time
	if err != nil {
		return "", err
	}
	b.ends = append(b.ends, func() { l.Close() })
	r := relay{host, roundTrip / 2}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go r.connect(client.(*net.TCPConn))
		}
	}()
	return l.Addr().String(), nil
}

// connect carries one connection. The kernel has already taken it, so that the
// round trip of connecting is waited for here.
func (r relay) connect(client *net.TCPConn) {
	defer client.Close()
	time.Sleep(2 * r.oneWay)
	conn, err := net.Dial("tcp", r.target) //nolint:noctx // loopback
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	answered := make(chan struct{})
	go func() { r.carry(client, server); close(answered) }()
	r.carry(server, client)
	<-answered
}

// carry copies from src to dst; each piece arrives oneWay after it was sent.
func (r relay) carry(dst, src *net.TCPConn) {
	type piece struct {
		due  time.Time
		data []byte
	}
	road := make(chan piece, 4096)
	go func() {
		defer close(road)
		for {
			data := make([]byte, 64<<10)
			n, err := src.Read(data)
			if err != nil {
				return
			}
			road <- piece{time.Now().Add(r.oneWay), data[:n]}
		}
	}()
	for p := range road {
		time.Sleep(time.Until(p.due))
		_, _ = dst.Write(p.data) // the reader still has to end
	}
	_ = dst.CloseWrite() // may be closed
}

// counter stands before the registry and counts what is asked and answered.
// While it is off it breaks every connection.
type counter struct {
	host            string
	off             atomic.Bool
	slow            atomic.Pointer[string] // digest of the blob that trickles, nil for none
	requests, bytes atomic.Int64
}

// count puts a counter before host.
func (b *bench) count(host string) (*counter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // takes no time
	if err != nil {
		return nil, err
	}
	c := &counter{host: l.Addr().String()}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: host}); p.Out.Host = p.In.Host },
		Transport:      &http.Transport{DisableCompression: true},
		FlushInterval:  -1, // what trickles has to get there
		ModifyResponse: c.note,
	}
	server := &http.Server{ReadHeaderTimeout: startLimit, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.off.Load() {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(l) }() // until Close
	b.ends = append(b.ends, func() { _ = server.Close() })
	return c, nil
}

func (c *counter) note(resp *http.Response) error {
	c.requests.Add(1)
	resp.Body = countedBody{resp.Body, &c.bytes}
	if d := c.slow.Load(); d != nil && strings.Contains(resp.Request.URL.Path, *d) {
		resp.Body = &trickle{resp.Body, c}
	}
	return nil
}

// trickle is a body that comes at 8 KiB a second while its blob is the slow one:
// enough not to be given up, and nothing that anybody could be served from.
type trickle struct {
	io.ReadCloser
	of *counter
}

func (t *trickle) Read(p []byte) (int, error) {
	if t.of.slow.Load() == nil {
		return t.ReadCloser.Read(p)
	}
	time.Sleep(time.Second / 8)
	return t.ReadCloser.Read(p[:min(len(p), 1<<10)])
}

type countedBody struct {
	io.ReadCloser
	sum *atomic.Int64
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.sum.Add(int64(n))
	return n, err
}
