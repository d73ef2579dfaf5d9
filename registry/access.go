package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"sync"
	"time"
)

// maxTokens bounds the table of tokens: one for each repository that is read,
// one for each that is pushed to, one for each that blobs of another are mounted in.
const maxTokens = 1000

// access is what is known about getting into one host. Nothing is asked before
// the first request:
//
//   - Without credentials that request goes out bare. Only when the host
//     answers 401 is there a log-in, by the challenge in that answer.
//   - With credentials the host is pinged first, once.
//   - Then requests go bare, with the credentials, or with a token for each
//     repository, as the challenge says. A token is replaced when it is
//     refused; when it expires by whose clock does not matter.
type access struct {
	mu      sync.Mutex // guards the fields, and is not held over I/O
	session *lazy[session]
	tokens  map[scope]*lazy[string]
	reading *lazy[credentials] // the last time that they were read again
	read    time.Time          // when that was begun
	secrets secrets
}

// session is what a host said about who may come in.
type session struct {
	who       credentials
	challenge challenge // no scheme: none was made yet
}

// scope is what a token is good for.
type scope struct {
	repository string // "" is the catalog
	push       bool
	from       string // a repository to mount blobs of, or ""
}

// resources are what a token is asked for, each for some actions. Source:
// distribution, "Token Scope Documentation".
func (s scope) resources() []string {
	if s.repository == "" {
		return []string{"registry:catalog:*"}
	}
	all := []string{"repository:" + s.repository + ":pull"}
	if s.push {
		all[0] = "repository:" + s.repository + ":push,pull"
	}
	if s.from != "" {
		all = append(all, "repository:"+s.from+":pull")
	}
	return all
}

// pass is what one request shows to be let in.
type pass struct {
	session *lazy[session]
	token   *lazy[string] // nil without one
	fresh   bool          // the token was made for this request
	header  string        // Authorization, "" for none
}

// reset forgets everything but secrets, of which answers still on their way
// may speak. The caller holds mu.
func (a *access) reset() {
	a.session = newLazy[session]()
	a.tokens = map[scope]*lazy[string]{}
}

func (a *access) current() *lazy[session] {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.session
}

// token is the place for the token of s within session.
func (a *access) token(in *lazy[session], s scope) *lazy[string] {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session != in { // renewed meanwhile: the token of the old one is not kept
		return newLazy[string]()
	}
	t := a.tokens[s]
	if t == nil {
		if len(a.tokens) >= maxTokens {
			clear(a.tokens)
		}
		t = newLazy[string]()
		a.tokens[s] = t
	}
	return t
}

// drop forgets the token of s, if it still is the one that was refused.
func (a *access) drop(s scope, refused *lazy[string]) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tokens[s] == refused {
		delete(a.tokens, s)
	}
}

// begin replaces the session old by one that starts with next's challenge, or
// by one that is made anew when next is nil. When old was replaced already,
// there is nothing to do.
func (a *access) begin(old *lazy[session], next *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session != old {
		return
	}
	a.reset()
	if next != nil {
		a.session.set(*next)
	}
}

// pass finds what a request for s shows. It may ask for credentials, ping the
// host, and fetch a token.
func (h *host) pass(ctx context.Context, s scope) (pass, error) {
	p := pass{session: h.access.current()}
	in, err := p.session.get(ctx, h.wire, h.login)
	if err != nil {
		return p, err
	}
	switch in.challenge.scheme {
	case "basic":
		p.header = in.who.basic()
	case "bearer":
		p.token = h.access.token(p.session, s)
		token, err := p.token.get(ctx, h.wire, func(ctx context.Context) (string, error) {
			p.fresh = true
			return h.buyToken(ctx, in, s)
		})
		if err != nil {
			return p, err
		}
		p.header = "Bearer " + token
	}
	return p, nil
}

// basic is the Authorization header of a user with a password.
func (c credentials) basic() string {
	if c.username == "" || c.password == "" {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.username+":"+c.password))
}

// login finds the credentials for the host and, where there are any, asks it
// how it wants them.
func (h *host) login(ctx context.Context) (session, error) {
	var in session
	var err error
	if in.who, err = h.credentials(ctx); err != nil || in.who == (credentials{}) {
		return in, err
	}
	h.access.concealWho(in.who)
	in.challenge, err = h.ping(ctx)
	return in, err
}

// credentials asks for them, which may run a program that takes no context and
// may wait for ever, for somebody to unlock it.
func (h *host) credentials(ctx context.Context) (credentials, error) {
	type answer struct {
		who credentials
		err error
	}
	got := make(chan answer, 1)
	go func() {
		who, err := h.keychain(h.name)
		got <- answer{who, err}
	}()
	select {
	case a := <-got:
		if a.err != nil {
			a.err = &failure{what: h.name + ": credentials", detail: h.clean(a.err.Error()), kind: ErrUnavailable}
		}
		return a.who, a.err
	case <-ctx.Done():
		return credentials{}, ctx.Err()
	}
}

// renew reports whether a request that was not let in is worth another try,
// because it then goes out with a log-in, or with a newer one: tokens last for
// minutes, the credentials of some clouds for hours, mounts for months. answer
// is the host's 401 or 403, or nil when no token was to be had. What is forbidden
// is not asked for with another token, but may be by somebody else.
func (h *host) renew(ctx context.Context, p pass, s scope, answer *http.Response) bool {
	in, err := p.session.get(ctx, h.wire, h.login)
	if err != nil {
		return false
	}
	var asked challenge
	refused := answer != nil && answer.StatusCode == http.StatusUnauthorized
	if refused {
		asked = challengeOf(answer)
	}
	switch {
	case asked.differs(in.challenge) && (asked.scheme == "bearer" || in.who.basic() != ""):
		h.access.begin(p.session, &session{who: in.who, challenge: asked})
		return true
	case refused && p.token != nil && (!p.fresh || asked.params["error"] == "invalid_token"):
		h.access.drop(s, p.token)
		return true
	}
	who, err := h.readAgain(ctx)
	if err != nil || who == in.who {
		return false
	}
	h.access.begin(p.session, nil)
	return true
}

// readAgain reads the credentials again, once for all who were not let in, and
// not again for a while: the tokens of all others go with the old ones, and a
// helper is a program to run.
func (h *host) readAgain(ctx context.Context) (credentials, error) {
	h.access.mu.Lock()
	if now := h.now(); h.access.reading == nil || now.Sub(h.access.read) >= h.limits.login {
		h.access.reading, h.access.read = newLazy[credentials](), now
	}
	reading := h.access.reading
	h.access.mu.Unlock()
	return reading.get(ctx, h.wire, h.credentials)
}

// ping asks how the host wants credentials.
func (h *host) ping(ctx context.Context) (challenge, error) {
	r := &request{method: http.MethodGet, what: "the log-in"}
	req, err := h.build(ctx, r)
	if err != nil {
		return challenge{}, err
	}
	res, err := h.client(h.reads, "").Do(req)
	if err != nil {
		return challenge{}, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusOK:
		return challenge{}, nil
	case res.StatusCode != http.StatusUnauthorized || !h.speaks(res.Request.URL):
		f := h.refused(h.what(r), res)
		if !errors.Is(f.kind, ErrUnavailable) { // the host was asked, not a name
			f.kind = ErrUnavailable
		}
		return challenge{}, f
	}
	return challengeOf(res), nil
}
