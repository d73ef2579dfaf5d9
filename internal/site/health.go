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
	// what failed counts as away.
	failuresInARow = 3
	// maxFailing bounds what is remembered of what failed. Two are enough to tell
	// that it is more than one.
	maxFailing = 1000
	// RestAfterFailure is how long an absent registry is left alone, and so how
	// late its return is noticed.
	RestAfterFailure = time.Second
)

// Health remembers whether the registry answers, so that who asks for something
// while it is away gets a quick no and need not wait for another deadline. What one
// layer fails by takes no other with it, nor one repository others: each is left alone
// by itself, unless several fail and none succeeds.
type Health struct {
	now func() time.Time

	mu  sync.Mutex
	all trouble
}

// trouble is of a registry, of a repository in it, or of one thing in that: a layer,
// a tag. What is known of it is since the last success of anything in the registry.
type trouble struct {
	failures int
	last     time.Time // failure
	err      error
	parts    map[string]*trouble // that failed
}

// Check is nil, or an ErrUnavailable if the registry is known to be away, or it is for
// what is asked: a repository, and a thing in it.
func (h *Health) Check(about ...string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for t := &h.all; t != nil; about = about[1:] {
		if t.isAway(now) {
			return fmt.Errorf("not asked again yet: %w", t.err)
		}
		if len(about) == 0 {
			return nil
		}
		t = t.parts[about[0]]
	}
	return nil
}

// isAway tells whether it failed often, and was not one of its parts alone.
func (t *trouble) isAway(now time.Time) bool {
	return t.failures >= failuresInARow && len(t.parts) != 1 && now.Sub(t.last) < RestAfterFailure
}

// Note takes the outcome of a request about a repository, and a thing in it.
func (h *Health) Note(err error, about ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !errors.Is(err, registry.ErrUnavailable) || errors.Is(err, errBroken) || registry.Lacking(err) {
		h.all = trouble{} // an answer, whatever it is
		return
	}
	t := &h.all
	t.note(err, h.now())
	for _, name := range about {
		if t = t.part(name); t == nil {
			return
		}
		t.note(err, h.now())
	}
}

func (t *trouble) note(err error, now time.Time) {
	t.failures++
	t.last, t.err = now, err
}

// part is one of the parts of t, or nil if there are too many.
func (t *trouble) part(name string) *trouble {
	p := t.parts[name]
	if p != nil || len(t.parts) >= maxFailing {
		return p
	}
	if t.parts == nil {
		t.parts = map[string]*trouble{}
	}
	p = &trouble{}
	t.parts[name] = p
	return p
}

// Problem is what is wrong with the registry right now, or nil.
func (h *Health) Problem() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all.err
}
