package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

const (
	// maxRedirects is how often a registry may send us on: one to its storage
	// is usual, two happen.
	maxRedirects = 5
	// idlePerHost is how many connections are kept between requests: as many
	// as a web server's burst opens.
	idlePerHost = 32
	// idleTimeout is how long they are kept, below the 60 s and more after
	// which servers and firewalls close them.
	idleTimeout = 55 * time.Second
)

// transports makes what sends reads and what sends writes. They differ in how
// long a registry may think before it answers.
func (s settings) transports(host string) (reads, writes http.RoundTripper) {
	if s.transport != nil {
		t := userAgent{s.transport, s.userAgent}
		return t, t
	}
	d := dialer{
		registry: host,
		any:      &net.Dialer{Timeout: s.limits.dial},
		checked:  &net.Dialer{Timeout: s.limits.dial, Control: refuseLinkLocal},
	}
	r := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           d.dial,
		TLSHandshakeTimeout:   s.limits.handshake,
		ResponseHeaderTimeout: s.limits.header,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   idlePerHost,
		IdleConnTimeout:       idleTimeout,
		DisableCompression:    true, // digests are of the bytes as stored
	}
	w := r.Clone()
	w.ResponseHeaderTimeout = s.limits.commit
	return userAgent{r, s.userAgent}, userAgent{w, s.userAgent}
}

// dialer connects to the registry wherever it is, and to the hosts that the
// registry names (redirects, token services) unless they are link-local: there
// clouds keep the credentials of their machines.
type dialer struct {
	registry     string
	any, checked *net.Dialer
}

func (d dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr == d.registry || addr == withPort(d.registry, "443") || addr == withPort(d.registry, "80") {
		return d.any.DialContext(ctx, network, addr)
	}
	return d.checked.DialContext(ctx, network, addr)
}

// withPort adds port to a host that has none.
func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// refuseLinkLocal looks at the address after the name was resolved, so that no
// name can hide it.
func refuseLinkLocal(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if ip := addr.Addr().Unmap(); ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() {
		return fmt.Errorf("refused to connect to the link-local address %s", ip)
	}
	return nil
}

// checkRedirect is for http.Client.CheckRedirect.
func checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case req.URL.Scheme != "https" && via[len(via)-1].URL.Scheme == "https":
		return fmt.Errorf("refused a redirect from https to %s", req.URL.Scheme)
	case req.URL.Scheme != "https" && req.URL.Scheme != "http":
		return fmt.Errorf("refused a redirect to %s", req.URL.Scheme)
	case req.URL.User != nil:
		return errors.New("refused a redirect with credentials in it")
	}
	req.Header.Del("Referer") // it would hand the signed query of one host to the next
	return nil
}

// userAgent names us in all requests, also those for tokens.
type userAgent struct {
	http.RoundTripper
	agent string
}

func (u userAgent) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("User-Agent") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", u.agent)
	}
	return u.RoundTripper.RoundTrip(req)
}

func (u userAgent) CloseIdleConnections() {
	if t, ok := u.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
