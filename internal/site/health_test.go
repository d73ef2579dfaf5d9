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

// TestWhatFailsAloneIsLeftAloneAlone: a layer takes no other with it, and a repository
// no other. Several that fail, and none that succeeds, are all that there is.
func TestWhatFailsAloneIsLeftAloneAlone(t *testing.T) {
	layer, other, elsewhere := []string{"app", "layer"}, []string{"app", "other"}, []string{"docs", "layer"}
	for name, step := range map[string]struct {
		failed [][]string // in this order
		rest   [][]string // what is not asked for then
		asked  [][]string
	}{
		"a layer":          {[][]string{layer, layer, layer}, [][]string{layer}, [][]string{other, elsewhere, {"app"}, {}}},
		"not often enough": {[][]string{layer, layer}, nil, [][]string{layer, other, elsewhere, {}}},
		"a repository":     {[][]string{layer, layer, other}, [][]string{layer, other, {"app"}, {"app", "another"}}, [][]string{elsewhere, {}}},
		"all":              {[][]string{layer, layer, elsewhere}, [][]string{layer, other, elsewhere, {"another"}, {}}, nil},
		"what is not told": {[][]string{{}, {}, {}}, [][]string{layer, elsewhere, {}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			h := &Health{now: func() time.Time { return now }}
			for _, about := range step.failed {
				h.Note(registry.ErrUnavailable, about...)
			}
			for _, about := range step.rest {
				if h.Check(about...) == nil {
					t.Errorf("%q is asked", about)
				}
			}
			for _, about := range step.asked {
				if err := h.Check(about...); err != nil {
					t.Errorf("%q is not asked: %v", about, err)
				}
			}
			if h.Problem() == nil {
				t.Error("there is no problem")
			}
			now = now.Add(RestAfterFailure)
			for _, about := range step.rest {
				if err := h.Check(about...); err != nil {
					t.Errorf("%q is not asked after a rest: %v", about, err)
				}
			}
			h.Note(nil, elsewhere...)
			h.Note(registry.ErrUnavailable, layer...)
			if err := h.Check(layer...); err != nil {
				t.Errorf("one failure after a success: %v", err)
			}
		})
	}
}

func TestWhatFailsIsBounded(t *testing.T) {
	h := &Health{now: time.Now}
	for i := range 2 * maxFailing {
		h.Note(registry.ErrUnavailable, fmt.Sprint(i), "layer")
		h.Note(registry.ErrUnavailable, "app", fmt.Sprint(i))
	}
	if all, app := len(h.all.parts), len(h.all.parts["app"].parts); all > maxFailing || app > maxFailing {
		t.Errorf("got %d repositories and %d of one's things, want at most %d", all, app, maxFailing)
	}
	if h.Check("another", "thing") == nil {
		t.Error("all fails, and more is asked for")
	}
}
