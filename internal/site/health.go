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
	// RestAfterFailure is how long an absent registry is left alone, and so how
	// late its return is noticed.
	RestAfterFailure = time.Second
)

// Health remembers whether the registry answers, so that who asks for something
// while it is away gets a quick no and need not wait for another deadline.
type Health struct {
	now func() time.Time

	mu       sync.Mutex
	failures int       // since the last success
	last     time.Time // failure
	err      error
}

// Check is nil, or an ErrUnavailable if the registry is known to be away.
func (h *Health) Check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures >= failuresInARow && h.now().Sub(h.last) < RestAfterFailure {
		return fmt.Errorf("not asked again yet: %w", h.err)
	}
	return nil
}

// Note takes the outcome of a request.
func (h *Health) Note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !errors.Is(err, registry.ErrUnavailable) || errors.Is(err, errBroken) || registry.Lacking(err) {
		h.failures = 0 // an answer, whatever it is
		return
	}
	h.failures++
	h.last, h.err = h.now(), err
}

// Problem is what is wrong with the registry right now, or nil.
func (h *Health) Problem() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures == 0 {
		return nil
	}
	return h.err
}
