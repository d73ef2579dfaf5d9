package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
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
	// pingAfter and pingWait find out that an HTTP/2 connection is dead, which
	// all requests to its host share.
	pingAfter, pingWait = 3 * time.Second, 2 * time.Second
)

// transports makes what sends reads and what sends writes. They differ in how
// long a host may think before it answers.
func (s settings) transports(known []*host) (reads, writes http.RoundTripper, err error) {
	if s.transport != nil {
		t := userAgent{s.observe(s.transport), s.userAgent}
		return t, t, nil
	}
	d := newDialer(s.limits.dial)
	for _, h := range known {
		d.trust(h.name, h.scheme)
	}
	for _, variable := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		if err := d.trustProxy(os.Getenv(variable)); err != nil {
			return nil, nil, err
		}
	}
	r := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           d.dial,
		TLSClientConfig:       &tls.Config{RootCAs: s.roots, InsecureSkipVerify: s.insecure}, //nolint:gosec // only where the user says so
		TLSHandshakeTimeout:   s.limits.handshake,
		ResponseHeaderTimeout: s.limits.header,
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWait},
		MaxIdleConnsPerHost:   idlePerHost,
		IdleConnTimeout:       idleTimeout,
		DisableCompression:    true, // digests are of the bytes as stored
	}
	w := r.Clone()
	w.ResponseHeaderTimeout = s.limits.commit
	return userAgent{s.observe(r), s.userAgent}, userAgent{s.observe(w), s.userAgent}, nil
}

// dialer connects to the hosts that the user named wherever they are, and to
// those that a registry names (redirects, token services) where that cannot
// reach what only this machine can.
type dialer struct {
	trusted      map[string]bool // HOST:PORT
	any, checked *net.Dialer
	local        atomic.Bool // a trusted host is this machine
}

func newDialer(timeout time.Duration) *dialer {
	d := &dialer{trusted: map[string]bool{}}
	d.any = &net.Dialer{Timeout: timeout, Control: d.look}
	d.checked = &net.Dialer{Timeout: timeout, Control: d.check}
	return d
}

// trust takes a host that the user named.
func (d *dialer) trust(name, scheme string) {
	d.trusted[withPort(name, scheme)] = true
	if u := (&url.URL{Host: name}); loopback(u.Hostname()) {
		d.local.Store(true)
	}
}

// trustProxy takes a proxy from the environment. The transport parses it again,
// and would quote it, with its password, in every error.
func (d *dialer) trustProxy(proxy string) error {
	if proxy == "" {
		return nil
	}
	u, err := url.Parse(proxy)
	if !strings.Contains(proxy, "://") {
		u, err = url.Parse("http://" + proxy)
	}
	if err != nil || u.Hostname() == "" {
		return errors.New("the proxy that HTTP_PROXY or HTTPS_PROXY names is not [http://]HOST:PORT")
	}
	d.trusted[withPort(u.Host, u.Scheme)] = true
	return nil
}

// withPort adds the port of the scheme to a host that has none.
func withPort(host, scheme string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	port := map[string]string{"http": "80", "socks5": "1080", "socks5h": "1080"}[scheme]
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.trusted[addr] {
		return race(ctx, d.any, network, addr)
	}
	return race(ctx, d.checked, network, addr)
}

// look notes that a trusted host is this machine. Control functions see the
// address after the name was resolved, so that no name can hide it.
func (d *dialer) look(_, address string, _ syscall.RawConn) error {
	if addr, err := netip.ParseAddrPort(address); err == nil && addr.Addr().Unmap().IsLoopback() {
		d.local.Store(true)
	}
	return nil
}

// check refuses the addresses to which nobody may send us.
func (d *dialer) check(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	why := forbidden(addr.Addr())
	if why == "" && addr.Addr().Unmap().IsLoopback() && !d.local.Load() {
		why = "loopback"
	}
	if why != "" {
		return fmt.Errorf("refused to connect to the %s address %s", why, addr.Addr().Unmap())
	}
	return nil
}

// metadata are the addresses where clouds keep the credentials of their
// machines, as far as they are not link-local: of AWS over IPv6, of Alibaba, of
// Azure, of Oracle.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("168.63.129.16"),
	netip.MustParseAddr("192.0.0.192"),
}

// nat64 are the prefixes below which IPv6 addresses hold one of IPv4 in their
// last four bytes. Source: RFC 6052, RFC 8215, RFC 4291.
var nat64 = []netip.Prefix{
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("::/96"),
}

// forbidden says what kind of address ip is that no registry may send us to,
// or "".
func forbidden(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	switch {
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast():
		return "link-local"
	case ip.IsUnspecified():
		return "unspecified"
	case ip.IsMulticast():
		return "multicast"
	case slices.Contains(metadata, ip):
		return "metadata"
	case ip.Is4(), ip.IsLoopback():
		return ""
	}
	for _, p := range nat64 {
		if p.Contains(ip) {
			b := ip.As16()
			return forbidden(netip.AddrFrom4([4]byte(b[12:])))
		}
	}
	return ""
}

// checkRedirect is for http.Client.CheckRedirect. Addresses are looked at here
// as well: a proxy would resolve and reach them for us.
func checkRedirect(req *http.Request, via []*http.Request) error {
	ip, _ := netip.ParseAddr(req.URL.Hostname()) // the zero value of names is nowhere
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case req.URL.Scheme != "https" && via[len(via)-1].URL.Scheme == "https":
		return fmt.Errorf("refused a redirect from https to %s", req.URL.Scheme)
	case req.URL.Scheme != "https" && req.URL.Scheme != "http":
		return fmt.Errorf("refused a redirect to %s", req.URL.Scheme)
	case req.URL.User != nil:
		return errors.New("refused a redirect with credentials in it")
	case ip.IsValid() && forbidden(ip) != "":
		return fmt.Errorf("refused a redirect to the %s address %s", forbidden(ip), ip.Unmap())
	}
	req.Header.Del("Referer") // it would hand the signed query of one host to the next
	return nil
}

// client sends requests through t. Of all hosts to which they are redirected
// only h sees the Authorization header.
func (h *host) client(t http.RoundTripper, authorization string) *http.Client {
	return &http.Client{Transport: authorized{t, h, authorization}, CheckRedirect: checkRedirect}
}

// authorized shows the Authorization header to one host. The transport does it,
// and not the request: net/http hands a request's on to other ports of a host,
// and to names below its own.
type authorized struct {
	http.RoundTripper
	host   *host
	header string
}

func (a authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	if a.header != "" && a.host.is(req.URL) {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", a.header)
	}
	return a.RoundTripper.RoundTrip(req)
}

// is reports whether u is an address at h.
func (h *host) is(u *url.URL) bool {
	return u.Scheme == h.scheme && withPort(u.Host, u.Scheme) == withPort(h.name, h.scheme)
}

// speaks reports whether what comes from u is said by h, whatever the scheme.
func (h *host) speaks(u *url.URL) bool { return u.Host == h.name || h.is(u) }

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
