package registry

import (
	"context"
	"errors"
	"time"
)

// lazy is a value that is made when it is first wanted, by one of those who
// want it, while the others wait as long as their contexts let them.
type lazy[T any] struct {
	turn  chan struct{} // holds one element; who took it may touch the rest
	made  bool
	value T
	err   error // of the last try, for those who wait already
	until time.Time
}

func newLazy[T any]() *lazy[T] {
	return &lazy[T]{turn: make(chan struct{}, 1)}
}

func (l *lazy[T]) set(value T) { l.value, l.made = value, true }

// get returns the value, and makes it if it is not there. A failure is the
// answer for everyone for a moment (limits.failure): else each of a crowd
// would wait in turn for the same dead registry. One whose caller left
// answers for nobody else.
func (l *lazy[T]) get(ctx context.Context, w *wire, create func(context.Context) (T, error)) (T, error) {
	var none T
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return none, ctx.Err()
	}
	switch {
	case l.made:
		return l.value, nil
	case l.err != nil && w.now().Before(l.until):
		return none, l.err
	}
	value, err := create(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if ctx.Err() == nil || errors.Is(err, errNoAnswer) {
			l.err, l.until = err, w.now().Add(w.limits.failure)
		}
		return none, err
	}
	l.set(value)
	return value, nil
}
