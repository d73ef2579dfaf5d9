package site

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/regfs/regfs/registry"
)

func TestARegistryThatIsAwayIsLeftAloneForAMoment(t *testing.T) {
	now := time.Unix(1000, 0)
	h := &Health{now: func() time.Time { return now }}
	away := fmt.Errorf("no route: %w", registry.ErrUnavailable)
	for i := range failuresInARow {
		if err := h.Check(); err != nil {
			t.Errorf("after %d failures: got %v, want that it is asked", i, err)
		}
		h.Note(away)
	}
	if err := h.Check(); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("after %d failures: got %v, want %v", failuresInARow, err, registry.ErrUnavailable)
	}
	now = now.Add(RestAfterFailure)
	if err := h.Check(); err != nil {
		t.Errorf("after a rest: got %v, want that it is asked", err)
	}
	h.Note(away)
	if err := h.Check(); err == nil {
		t.Error("away still: it is asked again and again")
	}
	h.Note(nil)
	if err := errors.Join(h.Check(), h.Problem()); err != nil {
		t.Errorf("it answers: got %v", err)
	}
}

// TestAnAnswerIsNoFailureOfTheRegistry: whatever the answer is.
func TestAnAnswerIsNoFailureOfTheRegistry(t *testing.T) {
	for _, answer := range []error{nil, fs.ErrNotExist, fs.ErrPermission, Promised(fs.ErrNotExist), registry.ErrMismatch} {
		h := &Health{now: time.Now}
		for range failuresInARow - 1 {
			h.Note(registry.ErrUnavailable)
		}
		if h.Problem() == nil {
			t.Fatal("a failure is no problem")
		}
		h.Note(answer)
		h.Note(registry.ErrUnavailable)
		if err := h.Check(); err != nil {
			t.Errorf("%v between failures: got %v, want that they are none in a row", answer, err)
		}
	}
}
