package fs

import (
	"context"
	"sync"
	"time"
)

// operation is the context of a request of the kernel: it ends when the kernel
// interrupts the request, and after a budget. Nearly all requests are answered
// from memory, thousands in a second, and nobody waits: what it takes to be told of
// an interrupt, a goroutine and a timer, and so another processor to run it, is only
// made once somebody asks for Done.
type operation struct {
	cancel   <-chan struct{} // nil if the kernel does not interrupt it
	deadline time.Time

	mu    sync.Mutex
	inner context.Context // nil until somebody waits
	stop  context.CancelFunc
	err   error // why it ended before somebody waited
}

var _ context.Context = (*operation)(nil)

// begin gives the context of a request, for the caller to end.
func begin(cancel <-chan struct{}, budget time.Duration) *operation {
	return &operation{cancel: cancel, deadline: time.Now().Add(budget)}
}

// end ends it, for those too that still wait.
func (o *operation) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended() == nil {
		o.err = context.Canceled
	}
	if o.stop != nil {
		o.stop()
	}
}

func (o *operation) Deadline() (time.Time, bool) { return o.deadline, true }

func (o *operation) Done() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.inner == nil {
		err := o.ended()
		o.inner, o.stop = context.WithDeadline(context.Background(), o.deadline)
		switch {
		case err != nil:
			o.stop()
		case o.cancel != nil:
			go interrupt(o.inner, o.stop, o.cancel)
		}
	}
	return o.inner.Done()
}

// interrupt passes on that the kernel interrupts a request.
func interrupt(ctx context.Context, stop context.CancelFunc, cancel <-chan struct{}) {
	select {
	case <-cancel:
		stop()
	case <-ctx.Done():
	}
}

func (o *operation) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended()
}

// ended is why it ended, if it did. The caller holds mu.
func (o *operation) ended() error {
	if o.err != nil {
		return o.err
	}
	if o.inner != nil {
		o.err = o.inner.Err()
		return o.err
	}
	select {
	case <-o.cancel:
		o.err = context.Canceled
	default:
		if !time.Now().Before(o.deadline) {
			o.err = context.DeadlineExceeded
		}
	}
	return o.err
}

// Value lets contexts made from this one know the one within, so that they need no
// goroutine to be told of its end.
func (o *operation) Value(key any) any {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.inner == nil {
		return nil
	}
	return o.inner.Value(key)
}
