package namespace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTheTagListAnswersWhatIsOverTheBudget: a tag that is not in the registry's own
// list, read just now, is missing, and one that is in it is asked for though nobody
// did before.
func TestTheTagListAnswersWhatIsOverTheBudget(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f": "x"})
	w.Publish("app", "v2", map[string]string{"f": "y"})
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	wantRead(t, l, "app", "v1", "f", "x")
	begin := time.Now()
	requests, _ := w.Since(func() {
		busy, absent, other := storm(l, "app", "t%d")
		if other > 0 || absent < 100 || busy > absent {
			t.Errorf("at first: got %d busy, %d absent, %d other answers", busy, absent, other)
		}
		if busy, absent, other := storm(l, "app", "u%d"); busy > 0 || other > 0 || absent < 100 {
			t.Errorf("later: got %d busy, %d absent, %d other answers; want all absent", busy, absent, other)
		}
	})
	took := time.Since(begin)
	if float64(len(requests)) > 50*(took.Seconds()+1) {
		t.Errorf("got %d requests in %v, want at most 50 a second", len(requests), took)
	}
	lists := count(requests, "GET /v2/app/tags/list")
	if most := int(took/(tagListAge/2)) + 1; lists < 2 || lists > most {
		t.Errorf("the list was read %d times in %v, want 2 to %d", lists, took, most)
	}
	if _, _, other := storm(l, "app", "v%d-"); other > 0 {
		t.Errorf("got %d other answers", other)
	}
	wantRead(t, l, "app", "v2", "f", "y") // it storms, and v2 comes up first

	w.Publish("app", "v3", map[string]string{"f": "z"})
	deadline := time.Now().Add(2*tagListAge + absenceAge + 5*time.Second)
	for i := 0; ; i++ {
		_, _ = l.Lookup(context.Background(), "app", fmt.Sprintf("w%d", i)) // it storms on
		if got, err := read(l, "app", "v3", "f"); err == nil {
			if got != "z" {
				t.Errorf("a tag that was pushed meanwhile: got %q", got)
			}
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("a tag that was pushed meanwhile: got %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestATagListThatIsOfNoUseSaysNothing: what is over the budget is not called missing
// then, and the list is not asked for again and again.
func TestATagListThatIsOfNoUseSaysNothing(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f": "x"})
	for what, answer := range map[string]http.HandlerFunc{
		"of several pages": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Link", `</v2/app/tags/list?last=v1&n=1000>; rel="next"`)
			fmt.Fprint(rw, `{"name": "app", "tags": ["v1"]}`)
		},
		"not allowed": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusForbidden) },
		"not there":   func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotFound) },
		"no list":     func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, `{"errors": []}`) },
	} {
		t.Run(what, func(t *testing.T) {
			l := w.open(t.TempDir(), time.Minute)
			eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
			wantRead(t, l, "app", "v1", "f", "x")
			asked := 0
			w.SetAnswer(func(rw http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/app/tags/list") {
					return false
				}
				asked++
				answer(rw, r)
				return true
			})
			storm(l, "app", "t%d")
			if busy, _, other := storm(l, "app", "u%d"); busy == 0 || other > 0 {
				t.Errorf("got %d busy and %d other answers, want that nothing is known", busy, other)
			}
			w.SetAnswer(nil)
			if asked != 1 {
				t.Errorf("the list was asked for %d times, want 1", asked)
			}
		})
	}
}

func TestTagListsAreBoundedAndForgotten(t *testing.T) {
	now := time.Unix(1000, 0)
	always := func() bool { return true }
	l := newTagLists()
	tags := func(n int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprint("t", i)
		}
		return all
	}
	read := func(repo string, n int) {
		l.ask(ref{repo, "t0"}, now, always)
		l.set(repo, tags(n), true, now, now)
	}
	want := func(when string, r ref, want opinion) {
		t.Helper()
		if got, _ := l.ask(r, now, always); got != want {
			t.Errorf("%s: %v: got %v, want %v", when, r, got, want)
		}
	}
	read("a", 10)
	want("read", ref{"a", "t9"}, listHas)
	want("read", ref{"a", "t10"}, listLacks)
	now = now.Add(tagListAge)
	want("old", ref{"a", "t9"}, listUnknown)

	read("a", 10)
	l.forget("a")
	l.set("a", tags(10), true, now, now)
	want("asked for before there was news", ref{"a", "t10"}, listUnknown)
	before := now
	now = now.Add(time.Millisecond)
	l.forget("a")
	want("forgotten", ref{"a", "t9"}, listUnknown)
	l.set("a", tags(10), true, before, now)
	want("asked for before somebody wanted it", ref{"a", "t10"}, listUnknown)

	for i := range 3 * maxVersionLists {
		read(fmt.Sprint("r", i), 10)
	}
	if len(l.of) > maxVersionLists {
		t.Errorf("got %d lists, want at most %d", len(l.of), maxVersionLists)
	}
	for _, n := range []int{maxListedTags, 1, maxListedTags, maxListedTags + 1} {
		read(fmt.Sprint("large", n), n)
		sum := 0
		for _, list := range l.of {
			sum += len(list.hashes)
		}
		if sum > maxListedTags || sum != l.tags {
			t.Errorf("got %d tags, counted as %d, want at most %d", sum, l.tags, maxListedTags)
		}
	}
}

// TestNewsOfATagIsNewerThanTheList: who heard of a push and comes at once is not told
// that there is no such tag.
func TestNewsOfATagIsNewerThanTheList(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f": "x"})
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	wantRead(t, l, "app", "v1", "f", "x")
	storm(l, "app", "t%d")
	if _, err := l.Lookup(context.Background(), "app", "v9"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is pushed: got %v, want %v", err, fs.ErrNotExist)
	}
	w.Publish("app", "v2", map[string]string{"f": "y"})
	l.News("app", "v2")
	if _, err := l.Lookup(context.Background(), "app", "v2"); errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the news: got %v", err)
	}
}
