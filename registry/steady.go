package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// minProgress is what a body has to bring within limits.stall, in bytes. It is
// 26 kbit/s: less is no connection that anything can be served from, and one
// byte a second must not hold a reader for ever.
const minProgress = 16 << 10

var (
	errStalled = fmt.Errorf("the body stalled: less than %d KiB in time", minProgress>>10)
	errNotSent = errors.New("the registry does not take what is sent")
)

// steady is the body of an answer that has to make progress. Only the time in
// which somebody waits in Read counts: a reader may be slow.
type steady struct {
	body   io.ReadCloser
	host   *host
	ctx    context.Context // the caller's
	reqCtx context.Context // the request's; its cause says whether we gave up
	cancel context.CancelCauseFunc
	what   string

	waited time.Duration // since progress was made last
	got    int           // bytes in that time
	err    error         // sticky
}

func (s *steady) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	stall := s.host.limits.stall
	timer := time.AfterFunc(stall-s.waited, func() { s.cancel(errStalled) })
	began := time.Now()
	n, err := s.body.Read(p)
	timer.Stop()
	s.waited += time.Since(began)
	s.got += n
	if s.got >= minProgress {
		s.waited, s.got = 0, 0
	}
	switch {
	case err == io.EOF:
		s.err = io.EOF
	case err != nil:
		s.err = s.host.broken(s.ctx, s.reqCtx, s.what, err)
	case s.waited >= stall:
		s.err = &failure{what: s.what, detail: errStalled.Error(), kind: ErrUnavailable}
	}
	return n, s.err
}

// Close ends the request.
func (s *steady) Close() error {
	err := s.body.Close()
	s.cancel(nil)
	return err
}

// pace gives up on a request whose body nobody takes. Once the body was taken
// as a whole, it is the transport's time for headers that counts.
type pace struct {
	body  io.ReadCloser
	limit time.Duration
	timer *time.Timer
	once  sync.Once
}

func newPace(body io.ReadCloser, limit time.Duration, cancel context.CancelCauseFunc) *pace {
	return &pace{body: body, limit: limit, timer: time.AfterFunc(limit, func() { cancel(errNotSent) })}
}

func (p *pace) Read(b []byte) (int, error) {
	p.timer.Reset(p.limit)
	n, err := p.body.Read(b)
	if err != nil {
		p.timer.Stop()
	}
	return n, err
}

func (p *pace) Close() error {
	var err error
	p.once.Do(func() {
		p.timer.Stop()
		err = p.body.Close()
	})
	return err
}
