package registry

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// Client speaks with one registry, and with mirrors of it. It may be used by
// many goroutines at once, and it never speaks to other hosts than these
// unless they redirect there.
type Client struct {
	*host           // the registry itself
	mirrors []*host // which are asked first for what has a digest
}

// limits are the times that a client waits. Tests shorten them.
type limits struct {
	dial      time.Duration // a TCP connection
	handshake time.Duration // TLS
	header    time.Duration // the first byte of an answer to a read
	commit    time.Duration // the same to a write: the registry may hash and move a large blob first
	answer    time.Duration // the header of the answer to a read, with redirects, tokens and further tries
	accept    time.Duration // the same to a write, for each try
	mirror    time.Duration // a mirror's answer, before the next host is asked
	stall     time.Duration // a body brings minProgress in this time
	send      time.Duration // somebody takes at least some of what we send in this time
	retry     time.Duration // before the second try; before the third twice that
	patience  time.Duration // the longest Retry-After that a write waits for
	rest      time.Duration // a host that says 429 and not for how long is left alone
	restMost  time.Duration // the longest Retry-After that is obeyed
	failure   time.Duration // how long a failed log-in answers for others that wait for it
	login     time.Duration // credentials that were refused are not read again before
	noRanges  time.Duration // a host that cannot do ranges is not asked for one
	failed    time.Duration // a mirror that failed is not asked
	lied      time.Duration // nor one that sent other bytes than those of a digest
}

// A page of nginx waits for these times at worst, so they are those of a web
// server's patience, not of a downloader's.
var defaultLimits = limits{
	dial:      3 * time.Second,
	handshake: 4 * time.Second,
	header:    4 * time.Second,
	commit:    2 * time.Minute,
	answer:    4500 * time.Millisecond, // who waits for a file waits 5 s, and should hear why in vain
	accept:    15 * time.Second,
	mirror:    2 * time.Second,
	stall:     5 * time.Second,
	send:      30 * time.Second,
	retry:     150 * time.Millisecond,
	patience:  time.Minute,
	rest:      time.Second,
	restMost:  time.Minute,
	failure:   time.Second,
	login:     2 * time.Second,
	noRanges:  10 * time.Minute,
	failed:    30 * time.Second,
	lied:      10 * time.Minute,
}

// Option changes how a Client works.
type Option func(*settings)

type settings struct {
	keychain  source
	transport http.RoundTripper
	observer  Observer // nil for none
	userAgent string
	mirrors   []string
	roots     *x509.CertPool
	insecure  bool
	limits    limits
	now       func() time.Time
}

// Keychain gives the user and password for a registry's host[:port], and ""
// for none.
type Keychain func(host string) (username, password string, err error)

// WithKeychain takes credentials from k, not from the configuration of docker
// and podman.
func WithKeychain(k Keychain) Option {
	return func(s *settings) {
		s.keychain = func(host string) (credentials, error) {
			username, password, err := k(host)
			return credentials{username: username, password: password}, err
		}
	}
}

// WithTransport sends requests through t. It then is t that has to bound how
// long connections take and to choose with whom they are made.
func WithTransport(t http.RoundTripper) Option {
	return func(s *settings) { s.transport = t }
}

// WithUserAgent says to registries who asks; the default is "regfs".
func WithUserAgent(agent string) Option {
	return func(s *settings) { s.userAgent = agent }
}

// WithMirrors asks mirrors, in their order and before the registry, for what
// has a digest. What exists, and what a tag names, is the registry's to say;
// only while it cannot be reached a mirror may say what a tag names of which
// nothing is known.
//
// Each is HOST[:PORT][/PREFIX], with http:// or https:// in front or nothing as
// for New. At a mirror with a prefix the repository team/docs is
// PREFIX/team/docs, as in the proxy projects of Harbor.
func WithMirrors(mirrors ...string) Option {
	return func(s *settings) { s.mirrors = append(s.mirrors, mirrors...) }
}

// WithRoots trusts the certificate authorities in pool, and no others.
func WithRoots(pool *x509.CertPool) Option {
	return func(s *settings) { s.roots = pool }
}

// WithoutVerification takes any certificate for good: whoever is on the way
// reads passwords and can answer in the registry's place.
func WithoutVerification() Option {
	return func(s *settings) { s.insecure = true }
}

// New returns a client for host, which is HOST[:PORT] with http:// or https://
// in front or nothing. Without a scheme localhost and loopback addresses are
// spoken to in plain HTTP and all others in TLS. New sends nothing; its errors
// are all about how hosts are written.
func New(registry string, opts ...Option) (*Client, error) {
	s := settings{keychain: dockerAndPodman, userAgent: "regfs", limits: defaultLimits, now: time.Now}
	for _, o := range opts {
		o(&s)
	}
	w := &wire{keychain: s.keychain, limits: s.limits, now: s.now}
	origin, err := newHost(w, registry)
	if err != nil {
		return nil, err
	}
	c := &Client{host: origin}
	for _, m := range s.mirrors {
		mirror, err := newMirror(w, m)
		if err != nil {
			return nil, err
		}
		c.mirrors = append(c.mirrors, mirror)
	}
	w.reads, w.writes, err = s.transports(append(c.mirrors[:len(c.mirrors):len(c.mirrors)], origin))
	return c, err
}

// Host is HOST[:PORT] of the registry, without a scheme.
func (c *Client) Host() string { return c.name }

// CloseIdle closes connections that wait for the next request.
func (c *Client) CloseIdle() {
	for _, t := range []http.RoundTripper{c.reads, c.writes} {
		(&http.Client{Transport: t}).CloseIdleConnections()
	}
}

// wire is what all hosts of a client share.
type wire struct {
	keychain      source
	limits        limits
	now           func() time.Time
	reads, writes http.RoundTripper // without credentials
}

// host is a server that speaks the distribution protocol: the registry, or a
// mirror of it.
type host struct {
	*wire
	scheme string
	name   string // HOST[:PORT]
	prefix string // before the names of repositories: "" or "PREFIX/"

	access   access
	noRanges memory // it cannot do ranges
	resting  memory // it asked to be left alone
	failing  memory // a mirror: it is of no use
	why      atomic.Pointer[string]
}

// newHost makes the host that s names, as New takes it.
func newHost(w *wire, s string) (*host, error) {
	scheme, address, err := parseHost(s)
	if err != nil {
		return nil, err
	}
	reg, err := name.NewRegistry(address, name.Insecure)
	if err != nil {
		return nil, err
	}
	h := &host{wire: w, scheme: scheme, name: reg.RegistryStr()} // docker.io is index.docker.io
	h.access.reset()
	return h, nil
}

// newMirror makes the host that s names, as WithMirrors takes it.
func newMirror(w *wire, s string) (*host, error) {
	scheme, rest := cutScheme(s)
	address, prefix, _ := strings.Cut(rest, "/")
	prefix = strings.TrimSuffix(prefix, "/")
	h, err := newHost(w, scheme+address)
	if err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	if prefix != "" && !ValidRepository(prefix) {
		return nil, fmt.Errorf("mirror %q: what follows the host is not the beginning of a repository's name", cut(s))
	}
	if prefix != "" {
		h.prefix = prefix + "/"
	}
	return h, nil
}
