package site

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/regfs/regfs/registry"
)

const (
	// failuresInARow is after how many failures without a success between them
	// the registry counts as away: one layer that cannot be read must not take
	// the others with it.
	failuresInARow = 3
	// restAfterFailure is how long an absent registry is left alone, and so how
	// late its return is noticed.
	restAfterFailure = time.Second
)

// health remembers whether the registry answers, so that who asks for something
// while it is away gets a quick no and need not wait for another deadline.
type health struct {
	now func() time.Time

	mu       sync.Mutex
	failures int       // since the last success
	last     time.Time // failure
	err      error
}

// check is nil, or an ErrUnavailable if the registry is known to be away.
func (h *health) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures >= failuresInARow && h.now().Sub(h.last) < restAfterFailure {
		return fmt.Errorf("not asked again yet: %w", h.err)
	}
	return nil
}

// note takes the outcome of a request.
func (h *health) note(err error) {
	if errors.Is(err, ErrBusy) {
		return // nothing was asked
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !errors.Is(err, registry.ErrUnavailable) || errors.Is(err, errBroken) {
		h.failures = 0
		return
	}
	h.failures++
	h.last, h.err = h.now(), err
}

// problem is what is wrong with the registry right now, or nil.
func (h *health) problem() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures == 0 {
		return nil
	}
	return h.err
}
