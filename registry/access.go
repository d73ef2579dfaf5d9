package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// maxTokens bounds the table of tokens: one for each repository that is read,
// one for each that is pushed to.
const maxTokens = 1000

// access is what a client knows about getting in. Nothing is asked before the
// first request:
//
//   - Without credentials that request goes out bare. Only when the registry
//     answers 401 is there a log-in, by the challenge in that answer.
//   - With credentials the registry is pinged first, once.
//   - Then requests go bare, with the credentials, or with a token for each
//     repository, as the challenge says. go-containerregistry renews tokens.
type access struct {
	mu      sync.Mutex // guards the fields, and is not held over I/O
	session *lazy[session]
	tokens  map[scope]*lazy[http.RoundTripper]
}

// session is what the registry said about who may come in.
type session struct {
	began     time.Time
	auth      authn.Authenticator
	challenge *transport.Challenge // nil: none was made yet
}

// scope is what a token is good for.
type scope struct {
	repository string // "" is the catalog
	push       bool
}

func (s scope) String() string {
	switch {
	case s.repository == "":
		return "registry:catalog:*"
	case s.push:
		return "repository:" + s.repository + ":" + transport.PushScope
	}
	return "repository:" + s.repository + ":" + transport.PullScope
}

// reset forgets everything. The caller holds mu.
func (a *access) reset() {
	a.session = newLazy[session]()
	a.tokens = map[scope]*lazy[http.RoundTripper]{}
}

func (a *access) current() *lazy[session] {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.session
}

// token is the place for the transport of s within session.
func (a *access) token(in *lazy[session], s scope) *lazy[http.RoundTripper] {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session != in { // renewed meanwhile: the token of the old one is not kept
		return newLazy[http.RoundTripper]()
	}
	t := a.tokens[s]
	if t == nil {
		if len(a.tokens) >= maxTokens {
			clear(a.tokens)
		}
		t = newLazy[http.RoundTripper]()
		a.tokens[s] = t
	}
	return t
}

// begin replaces the session old by one that starts with the challenge, or
// with a ping when that is nil. When old was replaced already, there is
// nothing to do.
func (a *access) begin(old *lazy[session], next session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session != old {
		return
	}
	a.reset()
	if next.challenge != nil {
		a.session.set(next)
	}
}

// authorized is the transport for requests of scope s within the session at.
// It may ping the registry and fetch a token.
func (c *Client) authorized(ctx context.Context, at *lazy[session], s scope) (http.RoundTripper, error) {
	in, err := at.get(ctx, c, c.login)
	if err != nil {
		return nil, err
	}
	base := c.reads
	if s.push {
		base = c.writes
	}
	if in.challenge == nil {
		return base, nil
	}
	if !strings.EqualFold(in.challenge.Scheme, "bearer") {
		return transport.FromToken(c.registry, in.auth, base, in.challenge, nil)
	}
	return c.access.token(at, s).get(ctx, c, func(ctx context.Context) (http.RoundTripper, error) {
		return c.fetchToken(ctx, base, in, s)
	})
}

// login finds the credentials for the registry and, where there are any, asks
// it how it wants them.
func (c *Client) login(ctx context.Context) (session, error) {
	auth, err := c.credentials(ctx)
	if err != nil {
		return session{}, err
	}
	in := session{began: c.now(), auth: auth}
	if auth == authn.Anonymous {
		return in, nil
	}
	in.challenge, err = c.ping(ctx, c.reads)
	return in, err
}

// credentials asks the keychain, which may run a program that takes no context
// and may wait for ever, for somebody to unlock it.
func (c *Client) credentials(ctx context.Context) (authn.Authenticator, error) {
	type answer struct {
		auth authn.Authenticator
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		auth, err := authn.Resolve(ctx, c.keychain, c.registry)
		got <- answer{auth, err}
	}()
	select {
	case a := <-got:
		if a.err != nil {
			a.err = &failure{what: c.host + ": credentials", detail: clean(a.err.Error()), kind: ErrUnavailable}
		}
		return a.auth, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Client) fetchToken(ctx context.Context, base http.RoundTripper, in session, s scope) (http.RoundTripper, error) {
	token, err := transport.Exchange(ctx, c.registry, in.auth, base, []string{s.String()}, in.challenge)
	if err != nil {
		return nil, err
	}
	if token.AccessToken != "" { // some services send this one alone
		token.Token = token.AccessToken
	}
	return transport.FromToken(c.registry, in.auth, base, in.challenge, token)
}

// renewed reports whether a request that was not let in is worth another try,
// because it then goes out with a log-in, or with a newer one: the credentials
// of some clouds last for hours, mounts for months. answer is the registry's
// 401, or nil when no token was to be had.
func (c *Client) renewed(ctx context.Context, at *lazy[session], answer *http.Response) bool {
	in, err := at.get(ctx, c, c.login)
	switch {
	case err != nil || answer != nil && answer.Request.URL.Host != c.host:
		return false
	case in.challenge == nil && answer != nil:
		challenge, err := c.ping(ctx, replay{answer})
		if err != nil || challenge.Scheme == "" {
			return false
		}
		c.access.begin(at, session{began: c.now(), auth: in.auth, challenge: challenge})
		return true
	case c.now().Sub(in.began) >= c.limits.login:
		c.access.begin(at, session{})
		return true
	}
	return false
}

// ping asks through t how the registry wants credentials. ggcr tries TLS, and
// plain HTTP for hosts that look local; which it is has been decided already.
func (c *Client) ping(ctx context.Context, t http.RoundTripper) (*transport.Challenge, error) {
	only := &onlyScheme{RoundTripper: t, scheme: c.scheme}
	challenge, err := transport.Ping(ctx, c.registry, only)
	var answer *transport.Error
	switch {
	case err == nil:
		return challenge, nil
	case only.err != nil:
		return nil, only.err
	case errors.As(err, &answer): // without the error about the other scheme
		return nil, answer
	}
	return nil, err
}

// onlyScheme refuses requests that use another scheme, and keeps the error of
// those that use it.
type onlyScheme struct {
	http.RoundTripper
	scheme string
	err    error
}

var errOtherScheme = errors.New("not the scheme of this registry")

func (o *onlyScheme) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != o.scheme {
		return nil, errOtherScheme
	}
	res, err := o.RoundTripper.RoundTrip(req)
	o.err = err
	return res, err
}

// replay answers a ping with the challenge that came already.
type replay struct{ answer *http.Response }

func (r replay) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusUnauthorized,
		Header:     http.Header{"Www-Authenticate": r.answer.Header.Values("WWW-Authenticate")},
		Body:       http.NoBody,
		Request:    req,
	}, nil
}
