package registry

import (
	"context"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Client speaks with one registry. It may be used by many goroutines at once,
// and it never speaks to another host than its own unless the registry
// redirects there.
type Client struct {
	scheme, host string
	registry     name.Registry
	keychain     authn.Keychain
	limits       limits
	now          func() time.Time

	reads, writes http.RoundTripper // without credentials
	access        access
	noRanges      memory
}

// limits are the times that a client waits. Tests shorten them.
type limits struct {
	dial      time.Duration // a TCP connection
	handshake time.Duration // TLS
	header    time.Duration // the first byte of an answer to a read
	commit    time.Duration // the same to a write: the registry may hash and move a large blob first
	answer    time.Duration // an answer's header in all, with redirects and tokens
	stall     time.Duration // a body brings minProgress in this time
	send      time.Duration // somebody takes at least some of what we send in this time
	retry     time.Duration // before the second try; before the third twice that
	patience  time.Duration // the longest Retry-After that is obeyed when the caller has no deadline
	failure   time.Duration // how long a failed log-in answers for others that wait for it
	login     time.Duration // log-ins older than this are renewed when the registry says 401
	noRanges  time.Duration // a registry that refused a range is not asked for one
}

// A page of nginx waits for these times at worst, so they are those of a web
// server's patience, not of a downloader's.
var defaultLimits = limits{
	dial:      3 * time.Second,
	handshake: 5 * time.Second,
	header:    5 * time.Second,
	commit:    2 * time.Minute,
	answer:    15 * time.Second,
	stall:     5 * time.Second,
	send:      30 * time.Second,
	retry:     150 * time.Millisecond,
	patience:  10 * time.Second,
	failure:   time.Second,
	login:     10 * time.Second,
	noRanges:  10 * time.Minute,
}

// Option changes how a Client works.
type Option func(*settings)

type settings struct {
	keychain  authn.Keychain
	transport http.RoundTripper
	userAgent string
	limits    limits
	now       func() time.Time
}

// Keychain gives the user and password for a registry's host[:port], and ""
// for none.
type Keychain func(host string) (username, password string, err error)

// WithKeychain takes credentials from k, not from the configuration of docker
// and podman.
func WithKeychain(k Keychain) Option {
	return func(s *settings) { s.keychain = keychain{k} }
}

// WithTransport sends requests through t. It then is t that has to bound how
// long connections take.
func WithTransport(t http.RoundTripper) Option {
	return func(s *settings) { s.transport = t }
}

// WithUserAgent says to registries who asks; the default is "regfs".
func WithUserAgent(agent string) Option {
	return func(s *settings) { s.userAgent = agent }
}

// New returns a client for host, which is HOST[:PORT] with http:// or https://
// in front or nothing. Without a scheme localhost and loopback addresses are
// spoken to in plain HTTP and all others in TLS. New sends nothing; its errors
// are all about host.
func New(host string, opts ...Option) (*Client, error) {
	scheme, host, err := parseHost(host)
	if err != nil {
		return nil, err
	}
	nameOptions := []name.Option{}
	if scheme == "http" {
		nameOptions = append(nameOptions, name.Insecure)
	}
	reg, err := name.NewRegistry(host, nameOptions...)
	if err != nil {
		return nil, err
	}
	s := settings{keychain: authn.DefaultKeychain, userAgent: "regfs", limits: defaultLimits, now: time.Now}
	for _, o := range opts {
		o(&s)
	}
	c := &Client{
		scheme:   scheme,
		host:     reg.RegistryStr(), // docker.io is index.docker.io
		registry: reg,
		keychain: s.keychain,
		limits:   s.limits,
		now:      s.now,
	}
	c.reads, c.writes = s.transports(c.host)
	c.access.reset()
	return c, nil
}

// Host is HOST[:PORT] of the registry, without a scheme.
func (c *Client) Host() string { return c.host }

// CloseIdle closes connections that wait for the next request.
func (c *Client) CloseIdle() {
	for _, t := range []http.RoundTripper{c.reads, c.writes} {
		(&http.Client{Transport: t}).CloseIdleConnections()
	}
}

// keychain is a Keychain as go-containerregistry wants it.
type keychain struct{ of Keychain }

func (k keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), r)
}

func (k keychain) ResolveContext(_ context.Context, r authn.Resource) (authn.Authenticator, error) {
	username, password, err := k.of(r.RegistryStr())
	if err != nil || username == "" {
		return authn.Anonymous, err
	}
	return &authn.Basic{Username: username, Password: password}, nil
}
