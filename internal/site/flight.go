package site

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/regfs/regfs/registry"
)

// fetchTimeout ends a fetch that makes progress but no end; the registry client
// ends one without progress much sooner.
const fetchTimeout = 30 * time.Minute

// flights runs work once per key, however many ask for it, and apart from who
// asks: a caller may leave, the work goes on for the others.
type flights struct {
	group singleflight.Group
	ctx   context.Context // ends all work, when the process ends

	mu    sync.Mutex // guards that nothing starts once ctx has ended
	under sync.WaitGroup
}

// do waits for the work named key, which it starts if it is not under way. It
// returns early with the error of ctx when that is cancelled, or with
// ErrUnavailable when its deadline passes first.
func (f *flights) do(ctx context.Context, key string, work func(context.Context) (any, error)) (any, error) {
	done := f.group.DoChan(key, func() (any, error) {
		if err := f.begin(); err != nil {
			return nil, err
		}
		defer f.under.Done()
		detached, cancel := context.WithTimeout(f.ctx, fetchTimeout)
		defer cancel()
		return work(detached)
	})
	select {
	case r := <-done:
		return r.Val, r.Err
	case <-ctx.Done():
		if ctx.Err() == context.DeadlineExceeded {
			return nil, fmt.Errorf("%w: still waiting for %s", registry.ErrUnavailable, key)
		}
		return nil, ctx.Err()
	}
}

func (f *flights) begin() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return f.ctx.Err()
	}
	f.under.Add(1)
	return nil
}

// wait waits, once ctx has ended, until no work is under way.
func (f *flights) wait() {
	f.mu.Lock() // nobody is just beginning
	defer f.mu.Unlock()
	f.under.Wait()
}
