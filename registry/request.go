package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// tries is how often a read is sent at most.
const tries = 3

// request is one request of the distribution protocol.
type request struct {
	method string
	path   string   // below /v2/, made of checked names
	query  string   // encoded
	url    *url.URL // instead of path and query: where an answer sent us
	header http.Header
	scope  scope
	what   string // for errors: "manifest my-app:v1"
	want   []int  // the statuses that are not errors; empty is 200 alone

	body func() (io.ReadCloser, error) // nil for none
	size int64                         // of the body, in bytes
}

func (c *Client) what(r *request) string {
	return fmt.Sprintf("%s: %s %s", c.host, r.method, r.what)
}

// do sends r, again if that may help and the context's deadline allows it, and
// returns an answer with a wanted status. Its body brings something all the
// time or fails, and must be closed.
func (c *Client) do(ctx context.Context, r *request) (*http.Response, error) {
	var res *http.Response
	err := c.retry(ctx, func() (err error) {
		res, err = c.send(ctx, r)
		return err
	})
	return res, err
}

// retry calls f until it succeeds, fails for good, or failed too often.
func (c *Client) retry(ctx context.Context, f func() error) error {
	for try := 0; ; try++ {
		err := f()
		var why *failure
		if err == nil || try+1 == tries || !errors.As(err, &why) || !why.temporary {
			return err
		}
		pause, ok := c.pause(ctx, try, why)
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
func (c *Client) pause(ctx context.Context, try int, why *failure) (time.Duration, bool) {
	pause := c.limits.retry << try
	pause += rand.N(pause/2 + 1)
	if why.retryAfter > 0 {
		pause = why.retryAfter
	}
	if deadline, ok := ctx.Deadline(); ok {
		return pause, pause < time.Until(deadline)
	}
	return pause, pause <= c.limits.patience
}

// send sends r once, or twice when the registry wants a log-in first.
func (c *Client) send(ctx context.Context, r *request) (*http.Response, error) {
	for last := false; ; last = true {
		at := c.access.current()
		res, err := c.sendAs(ctx, at, r)
		if err != nil {
			if !last && errors.Is(err, fs.ErrPermission) && c.renewed(ctx, at, nil) {
				continue
			}
			return nil, err
		}
		if slices.Contains(r.want, res.StatusCode) || len(r.want) == 0 && res.StatusCode == http.StatusOK {
			return res, nil
		}
		again := !last && res.StatusCode == http.StatusUnauthorized && c.renewed(ctx, at, res)
		err = c.refused(c.what(r), res)
		res.Body.Close()
		if !again {
			return nil, err
		}
	}
}

var errNoAnswer = errors.New("no answer in time")

// sendAs sends r within the session at and returns whatever the answer is.
func (c *Client) sendAs(ctx context.Context, at *lazy[session], r *request) (*http.Response, error) {
	reqCtx, cancel := context.WithCancelCause(ctx)
	patience := time.AfterFunc(c.limits.answer, func() { cancel(errNoAnswer) })
	fail := func(err error) error {
		patience.Stop()
		defer cancel(nil)
		return c.broken(ctx, reqCtx, c.what(r), err)
	}
	t, err := c.authorized(reqCtx, at, r.scope)
	if err != nil {
		return nil, fail(err)
	}
	req, err := c.build(reqCtx, r)
	if err != nil {
		return nil, fail(err)
	}
	if r.size > 0 { // from here on it is pace that watches
		patience.Stop()
		req.Body = newPace(req.Body, c.limits.send, cancel)
	}
	client := http.Client{Transport: t, CheckRedirect: checkRedirect}
	res, err := client.Do(req)
	if err != nil {
		return nil, fail(err)
	}
	patience.Stop()
	res.Body = &steady{
		body:   res.Body,
		client: c,
		ctx:    ctx,
		reqCtx: reqCtx,
		cancel: cancel,
		what:   c.what(r),
	}
	return res, nil
}

func (c *Client) build(ctx context.Context, r *request) (*http.Request, error) {
	u := r.url
	if u == nil {
		u = &url.URL{Scheme: c.scheme, Host: c.host, Path: "/v2/" + r.path, RawQuery: r.query}
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
