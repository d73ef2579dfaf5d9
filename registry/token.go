package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
)

// maxToken bounds the answer of a token service in bytes. The largest tokens,
// those that name many groups, have some kilobytes.
const maxToken = 64 << 10

// buyToken gets a token for s in the way that the challenge of the session
// says. Source: distribution, "Token Authentication".
func (h *host) buyToken(ctx context.Context, in session, s scope) (string, error) {
	if in.who.registryToken != "" {
		return in.who.registryToken, nil
	}
	where, err := h.tokenService(in.challenge)
	if err != nil {
		return "", err
	}
	if in.who.identityToken != "" {
		token, err := h.sendForToken(ctx, where, h.refreshRequest(where, in, s), "")
		var f *failure
		// Not all services know OAuth2; all know the other way.
		if !errors.As(err, &f) || f.status != http.StatusNotFound && f.status != http.StatusMethodNotAllowed {
			return token, err
		}
	}
	u := *where
	query := u.Query()
	query["scope"] = s.resources()
	if service := in.challenge.params["service"]; service != "" {
		query.Set("service", service)
	}
	u.RawQuery = query.Encode()
	req := &request{method: http.MethodGet, url: &u}
	return h.sendForToken(ctx, where, req, in.who.basic())
}

// tokenService is where the challenge says that tokens are. A registry that
// speaks TLS must not have a password sent in plain text.
func (h *host) tokenService(c challenge) (*url.URL, error) {
	u, err := url.Parse(c.params["realm"])
	switch {
	case err != nil || u.Host == "":
		return nil, h.nonsense(h.name+": log-in", "the registry's challenge names no token service")
	case u.Scheme != "https" && (u.Scheme != "http" || h.scheme == "https"):
		return nil, h.nonsense(h.name+": log-in", "refused to send credentials to %s://%s", u.Scheme, u.Host)
	}
	u.User, u.Fragment = nil, ""
	return u, nil
}

// refreshRequest buys with an identity token. Source: distribution, "OAuth2
// Token Authentication".
func (h *host) refreshRequest(where *url.URL, in session, s scope) *request {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {in.who.identityToken},
		"service":       {in.challenge.params["service"]},
		"scope":         {strings.Join(s.resources(), " ")},
		"client_id":     {"regfs"},
	}.Encode()
	return &request{
		method: http.MethodPost, url: where, size: int64(len(form)), body: textBody(form),
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
}

// sendForToken sends r to a token service, which sees the Authorization header
// given, and reads the token.
func (h *host) sendForToken(ctx context.Context, where *url.URL, r *request, authorization string) (string, error) {
	what := h.name + ": a token from " + where.Host
	req, err := h.build(ctx, r)
	if err != nil {
		return "", err
	}
	service := &host{wire: h.wire, scheme: where.Scheme, name: where.Host}
	res, err := service.client(h.reads, authorization).Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", h.noToken(what, res)
	}
	data, err := readAll(res.Body, maxToken, what)
	if err != nil {
		return "", err
	}
	var answer struct {
		Token  string `json:"token"`
		Access string `json:"access_token"` // some services send this one alone
	}
	if json.Unmarshal(data, &answer) != nil || answer.Token == "" && answer.Access == "" {
		return "", h.nonsense(what, "the answer holds no token") // and is not quoted: it may hold others
	}
	if answer.Token == "" {
		answer.Token = answer.Access
	}
	if strings.ContainsFunc(answer.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", h.nonsense(what, "the token cannot be sent")
	}
	h.access.conceal(answer.Token)
	return answer.Token, nil
}

// noToken makes an error of what a token service answers. That it does not
// know something says nothing about the names in the registry.
func (h *host) noToken(what string, res *http.Response) error {
	f := h.said(what, res)
	if kind := statusKind(res.StatusCode); !errors.Is(kind, fs.ErrNotExist) {
		f.kind = kind
	}
	message, _ := h.readMessage(res.Body)
	f.quote(message)
	f.advice = h.adviceForAnswer(f.status, "")
	return f
}
