package namespace

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestAStrangerIsWhoDoesNotComeBack: in a storm a name is a stranger for as long as
// one visit takes, and not when it comes up again. The storm goes on while there are
// more strangers than the registry is asked for, and is over before long then.
func TestAStrangerIsWhoDoesNotComeBack(t *testing.T) {
	q := newQuestions()
	now := time.Now()
	clock := func() time.Time { return now }
	q.now = clock
	for _, k := range []kind{q.tags, q.repositories} {
		k.asked.now, k.strangers.now = clock, clock
	}
	isStranger := func(name string) bool { return q.isStranger(true, "app", name) }

	if isStranger("new") {
		t.Error("a stranger, and no storm")
	}
	for range tagQuestions + 1 {
		_ = q.admit(true)
	}
	for _, step := range []struct {
		name  string
		after time.Duration
		want  bool
	}{
		{"new", 0, true},
		{"new", time.Millisecond, true}, // its gzip form
		{"other", 0, true},
		{"new", visit, false},
		{"new", time.Millisecond, false},
		{"other", 0, false},
	} {
		now = now.Add(step.after)
		if got := isStranger(step.name); got != step.want {
			t.Errorf("%q after %v: got %v, want %v", step.name, step.after, got, step.want)
		}
	}
	if q.isStranger(false, "", "new") {
		t.Error("a storm of tags is one of repositories")
	}

	q.met.vouch("app", now)
	if isStranger("v1") {
		t.Error("a name below what was just found for somebody who came back is a stranger")
	}
	now = now.Add(vouchAge)
	for range tagQuestions + 1 {
		_ = q.admit(true)
	}
	if !isStranger("v1") {
		t.Error("a name below what was found a while ago is none")
	}

	storm := func(perSecond int) (strangers int) {
		for i := range 5 * perSecond {
			now = now.Add(time.Second / time.Duration(perSecond))
			if isStranger(fmt.Sprint(now.UnixNano(), i)) {
				strangers++
			}
		}
		return strangers
	}
	if got, want := storm(1000), 5000; got != want {
		t.Errorf("a storm: got %d strangers of %d names", got, want)
	}
	if storm(tagQuestions - 5); isStranger("late") {
		t.Error("it never ends, though there are fewer names than are asked for")
	}
}

// TestInAStormWhoComesBackIsAskedFor: the registry hears of no name that came up
// once. One that comes up again is.
func TestInAStormWhoComesBackIsAskedFor(t *testing.T) {
	for what, name := range map[string][2]string{"a tag": {"app", "v1"}, "a repository": {"", "app"}, "a spelled tag": {"", "app:v1"}} {
		// Each with a registry of its own: the last name is asked for behind, too.
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.Publish("app", "v1", map[string]string{"f": "x"})
			w.Publish("app", "v2", map[string]string{"f": "y"})
			w.SetAnswer(missing("_catalog"))
			l := w.open(t.TempDir(), time.Minute)
			<-l.listed
			lookup := func(dir, name string) error {
				_, err := l.Lookup(context.Background(), dir, name)
				return err
			}
			storms := func() {
				for _, k := range []kind{l.questions.repositories, l.questions.tags} {
					k.asked.mu.Lock()
					k.asked.over = time.Now()
					k.asked.mu.Unlock()
				}
			}
			storms()
			requests, _ := w.Since(func() {
				for i := range 1000 {
					_ = lookup("app", fmt.Sprintf("t%d", i))
					_ = lookup("", fmt.Sprintf("r.%d", i))
				}
				if err := lookup(name[0], name[1]); !errors.Is(err, ErrBusy) {
					t.Errorf("at first: got %v, want ErrBusy", err)
				}
			})
			if len(requests) > 0 {
				t.Errorf("the registry was asked %d times, such as %q", len(requests), requests[0])
			}
			time.Sleep(visit)
			storms() // still
			if err := lookup(name[0], name[1]); err != nil {
				t.Errorf("for who comes back alone: %v", err)
			}
		})
	}
}

// TestQuestionsBehindAreSpread: names that everybody asks for again and again, as
// many as are asked for in a second, are not asked for all at once.
func TestQuestionsBehindAreSpread(t *testing.T) {
	if testing.Short() {
		t.Skip("once: the plain run has it")
	}
	w := newWorld(t)
	w.SetAnswer(missing("_catalog"))
	l := w.open(t.TempDir(), time.Minute)
	<-l.listed
	var mu sync.Mutex
	var asked []time.Time
	w.SetAnswer(func(http.ResponseWriter, *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, time.Now())
		return false
	})
	l.questions.mu.Lock()
	l.questions.spent, l.questions.at = time.Hour, time.Now() // nobody waits
	l.questions.mu.Unlock()
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(asked) >= 2*repositoryQuestions
	}
	eventually(t, "questions", func() bool {
		for i := range 1000 {
			_, _ = l.Lookup(context.Background(), "", fmt.Sprintf("r.%d", i))
		}
		return enough()
	})
	// A slot's next question is no sooner after it than that, but may come soon after
	// one that took long to arrive.
	mu.Lock()
	defer mu.Unlock()
	const most = 2 * maxBehind
	for i := most; i < len(asked); i++ {
		if within := asked[i].Sub(asked[i-most]); within < behindPace {
			t.Errorf("%d questions came within %v, want at most %d within %v", most+1, within, most, behindPace)
		}
	}
}
