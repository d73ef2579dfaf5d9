package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// tries is how often a read is sent at most.
const tries = 3

// renewals is how often a request is sent again because it was not let in:
// with a log-in, with a token in place of an expired one, with credentials read
// anew.
const renewals = 3

// request is one request of the distribution protocol.
type request struct {
	method string
	path   string   // below /v2/ and the host's prefix, made of checked names
	query  string   // encoded
	url    *url.URL // instead of path and query: where an answer sent us
	header http.Header
	scope  scope
	what   string // for errors: "manifest my-app:v1"
	want   []int  // the statuses that are not errors; empty is 200 alone

	body func() (io.ReadCloser, error) // nil for none
	size int64                         // of the body, in bytes
}

// textBody is a request's body.
func textBody(s string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

func (h *host) what(r *request) string {
	return fmt.Sprintf("%s: %s %s", h.name, r.method, r.what)
}

// do sends r, again if that may help and there is time, and returns an answer
// with a wanted status. Its body brings something all the time or fails, and
// must be closed.
func (h *host) do(ctx context.Context, r *request) (*http.Response, error) {
	return h.doUntil(ctx, r, h.readEnd(r))
}

// readEnd is until when a read has to be answered. A write is not waited for
// like a read: each try has its own time.
func (h *host) readEnd(r *request) time.Time {
	if r.scope.push {
		return time.Time{}
	}
	return time.Now().Add(h.limits.answer)
}

// doUntil is do with the time until which the answer has to be there.
func (h *host) doUntil(ctx context.Context, r *request, end time.Time) (*http.Response, error) {
	var res *http.Response
	err := h.retry(ctx, end, func() (err error) {
		res, err = h.send(ctx, r, end)
		return err
	})
	return res, err
}

// retry calls f until it succeeds, fails for good, failed too often, or would
// end too late.
func (h *host) retry(ctx context.Context, end time.Time, f func() error) error {
	for try := 0; ; try++ {
		err := f()
		var why *failure
		if err == nil || try+1 == tries || !errors.As(err, &why) || !why.temporary && (!why.once || try > 0) {
			return err
		}
		pause, ok := h.pause(ctx, end, try, why)
		if !ok {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// pause is how long to wait before the next try, and whether there is time for
// it. The jitter keeps a crowd from coming back all at once.
func (h *host) pause(ctx context.Context, end time.Time, try int, why *failure) (time.Duration, bool) {
	pause := h.limits.retry << try
	pause += randomPart(pause / 2)
	if why.once && !why.temporary {
		pause = 0
	}
	pause = max(pause, why.retryAfter)
	return pause, pause < h.timeLeft(ctx, end)
}

// timeLeft is how long may be waited before a request that has to be answered
// at end; without an end it is a write's patience.
func (h *host) timeLeft(ctx context.Context, end time.Time) time.Duration {
	left := h.limits.patience
	if !end.IsZero() {
		left = time.Until(end)
	}
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline))
	}
	return left
}

// rested waits until the host wants to be asked again, if that is soon enough.
func (h *host) rested(ctx context.Context, r *request, end time.Time) error {
	left := h.resting.left(h.now())
	if left <= 0 {
		return nil
	}
	if left >= h.timeLeft(ctx, end) {
		return &failure{
			what: h.what(r), kind: ErrUnavailable, resting: true,
			detail: fmt.Sprintf("not asked: the host wants to be left alone for %v more", left.Round(100*time.Millisecond)),
		}
	}
	select {
	case <-time.After(left + randomPart(h.limits.retry)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leaveAlone obeys a host that says that it is asked too much, for all requests.
func (h *host) leaveAlone(f *failure) {
	if !f.temporary {
		return
	}
	after := f.retryAfter
	if after == 0 && f.status == http.StatusTooManyRequests {
		after = h.limits.rest
	}
	if after > 0 {
		h.resting.until(h.now().Add(min(after, h.limits.restMost)))
	}
}

// send sends r once, and again when the host wants another log-in first.
func (h *host) send(ctx context.Context, r *request, end time.Time) (*http.Response, error) {
	if err := h.rested(ctx, r, end); err != nil {
		return nil, err
	}
	for again := 0; ; again++ {
		p, res, err := h.sendOnce(ctx, r, end)
		if err != nil {
			if again < renewals && errors.Is(err, fs.ErrPermission) && h.renew(ctx, p, h.scopeOf(r), nil) {
				continue
			}
			if f := (*failure)(nil); errors.As(err, &f) { // of a token service
				h.leaveAlone(f)
			}
			return nil, err
		}
		if slices.Contains(r.want, res.StatusCode) || len(r.want) == 0 && res.StatusCode == http.StatusOK {
			return res, nil
		}
		renewed := again < renewals && errors.Is(statusKind(res.StatusCode), fs.ErrPermission) && h.speaks(res.Request.URL) && h.renew(ctx, p, h.scopeOf(r), res)
		f := h.refused(h.what(r), res)
		res.Body.Close()
		if !renewed {
			if h.speaks(res.Request.URL) {
				h.leaveAlone(f)
			}
			return nil, f
		}
	}
}

var errNoAnswer = errors.New("no answer in time")

// sendOnce sends r with whatever lets it in and returns whatever the answer is.
func (h *host) sendOnce(ctx context.Context, r *request, end time.Time) (pass, *http.Response, error) {
	began := time.Now()
	reqCtx, cancel := context.WithCancelCause(ctx)
	patience := h.limits.accept
	if !end.IsZero() {
		patience = time.Until(end)
	}
	timer := time.AfterFunc(patience, func() { cancel(errNoAnswer) })
	fail := func(err error) error {
		timer.Stop()
		defer cancel(nil)
		return h.broken(ctx, reqCtx, h.what(r), err)
	}
	p, err := h.pass(reqCtx, h.scopeOf(r))
	if err != nil {
		return p, nil, fail(err)
	}
	req, err := h.build(reqCtx, r)
	if err != nil {
		return p, nil, fail(err)
	}
	if r.size > 0 { // from here on it is pace that watches
		timer.Stop()
		req.Body = newPace(req.Body, h.limits.send, cancel)
	}
	t := h.reads
	if r.scope.push {
		t = h.writes
	}
	res, err := h.client(t, p.header).Do(req)
	if err != nil {
		return p, nil, fail(err)
	}
	timer.Stop()
	res.Body = &steady{body: res.Body, host: h, ctx: ctx, reqCtx: reqCtx, cancel: cancel, what: h.what(r)}
	if !end.IsZero() { // the first bytes are late if the header was
		res.Body.(*steady).waited = min(time.Since(began), h.limits.stall*4/5)
	}
	return p, res, nil
}

// scopeOf is what a token for r has to be good for.
func (h *host) scopeOf(r *request) scope {
	s := r.scope
	if s.repository != "" {
		s.repository = h.prefix + s.repository
	}
	if s.from != "" {
		s.from = h.prefix + s.from
	}
	return s
}

func (h *host) build(ctx context.Context, r *request) (*http.Request, error) {
	u := r.url
	if u == nil {
		path := r.path
		if r.scope.repository != "" {
			path = h.prefix + path
		}
		u = &url.URL{Scheme: h.scheme, Host: h.name, Path: "/v2/" + path, RawQuery: r.query}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for key, values := range r.header {
		req.Header[key] = slices.Clone(values)
	}
	if r.body != nil {
		if req.Body, err = r.body(); err != nil {
			return nil, err
		}
		req.ContentLength = r.size
		if r.size == 0 { // a body of length 0 would be sent in chunks
			req.Body.Close()
			req.Body = http.NoBody
		}
	}
	return req, nil
}
