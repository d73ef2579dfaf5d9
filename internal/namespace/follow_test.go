package namespace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// send sends a request to the registry, past what is counted.
func (w *world) send(method, path string, header http.Header, body string) (status int, answer string, got http.Header) {
	w.T.Helper()
	r, err := http.NewRequest(method, w.URL+"/v2/"+path, strings.NewReader(body))
	if err != nil {
		w.T.Fatal(err)
	}
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("User-Agent", "publisher")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.T.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		w.T.Fatal(err)
	}
	return res.StatusCode, string(data), res.Header
}

// copyTag makes further tags of a repository mean what one means.
func (w *world) copyTag(repo, tag string, more ...string) {
	w.T.Helper()
	_, text, header := w.send(http.MethodGet, repo+"/manifests/"+tag, nil, "")
	for _, m := range more {
		if status, answer, _ := w.send(http.MethodPut, repo+"/manifests/"+m, http.Header{"Content-Type": header["Content-Type"]}, text); status != http.StatusCreated {
			w.T.Fatalf("tag %s: %d %s", m, status, answer)
		}
	}
}

func (w *world) deleteTag(repo, tag string) {
	w.T.Helper()
	if status, answer, _ := w.send(http.MethodDelete, repo+"/manifests/"+tag, nil, ""); status >= 300 {
		w.T.Fatalf("delete %s:%s: %d %s", repo, tag, status, answer)
	}
}

// count counts the requests that begin with a prefix.
func count(requests []string, prefix string) int {
	n := 0
	for _, r := range requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

// missing answers 404 to requests for paths with part in them.
func missing(part string) func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, part) {
			return false
		}
		http.NotFound(rw, r)
		return true
	}
}

func TestABudgetHoldsInEverySecond(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBudget(5)
	b.now = func() time.Time { return now }
	var taken []time.Time
	for range 4000 {
		if b.take() {
			taken = append(taken, now)
		}
		now = now.Add(time.Millisecond)
	}
	if len(taken) != 20 {
		t.Errorf("got %d in 4 s, want 20", len(taken))
	}
	for i := 5; i < len(taken); i++ {
		if d := taken[i].Sub(taken[i-5]); d < time.Second {
			t.Errorf("6 within %v", d)
		}
	}
}

// TestManyTagsShareABudget has more tags in use than can be checked in time:
// each gets its turn, and the registry no more than it is meant to.
func TestManyTagsShareABudget(t *testing.T) {
	if testing.Short() {
		t.Skip("once: the plain run has it")
	}
	const tags = 150
	w := newWorld(t)
	w.Publish("app", "v0", map[string]string{"f": "x"})
	var names []string
	for i := range tags {
		names = append(names, fmt.Sprint("v", i))
	}
	w.copyTag("app", "v0", names[1:]...)
	l := w.open(t.TempDir(), 500*time.Millisecond)
	l.questions.tags = kind{newBudget(1000), newBudget(1000)}
	for _, name := range names {
		wantRead(t, l, "app", name, "f", "x")
	}
	start := time.Now()
	checked := map[string]int{}
	requests, _ := w.Since(func() {
		eventually(t, "each tag was checked", func() bool {
			for _, r := range w.Requests() {
				checked[r]++
			}
			return len(checked) >= tags
		})
	})
	heads := count(requests, "HEAD /v2/app/manifests/")
	if most := checksPerSecond * (int(time.Since(start).Seconds()) + 2); heads > most {
		t.Errorf("got %d checks in %v, want at most %d", heads, time.Since(start), most)
	}
	if gets := count(requests, "GET /v2/app/manifests/"); gets > 0 {
		t.Errorf("got %d pulls of tags that did not move", gets)
	}
}

func TestTagsNobodyLooksAtCostNothing(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f": "x"})
	l := w.open(t.TempDir(), 100*time.Millisecond)
	wantRead(t, l, "app", "v1", "f", "x")
	eventually(t, "a tag in use is checked", func() bool {
		return slices.Contains(w.Requests(), "HEAD /v2/app/manifests/v1")
	})
	l.mu.Lock()
	l.tags[ref{"app", "v1"}].used = time.Now().Add(-time.Hour)
	l.mu.Unlock()
	if due := l.due(); len(due) > 0 {
		t.Errorf("due: got %v, want none", due)
	}
}

func TestChecksAreSpread(t *testing.T) {
	const refresh = 10 * time.Second
	now := time.Unix(1000, 0)
	l := &Live{now: func() time.Time { return now }}
	seen := map[time.Duration]bool{}
	for range 100 {
		var tg tag
		l.schedule(&tg, refresh)
		after := tg.next.Sub(now)
		if after < refresh/2 || after > refresh*9/10 {
			t.Fatalf("the next check: got after %v, want some time before %v", after, refresh)
		}
		seen[after] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 checks at %d moments", len(seen))
	}
}

// TestABadVersionIsNotReadAgainAndAgain: what is wrong with it is remembered, and
// how often it is tried gets less.
func TestABadVersionIsNotReadAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "live", map[string]string{"f": "good"})
	l := w.open(t.TempDir(), 100*time.Millisecond)
	wantRead(t, l, "app", "live", "f", "good")
	w.SetAnswer(missing("/blobs/"))
	w.Publish("app", "live", map[string]string{"f": "newer"})
	eventually(t, "status names the bad version", func() bool { return l.Status().Tags[0].Bad != "" })
	begin := time.Now()
	requests, _ := w.Since(func() {
		eventually(t, "the tag is followed still", func() bool {
			wantRead(t, l, "app", "live", "f", "good")
			return count(w.Requests(), "HEAD /v2/app/manifests/live") > 10
		})
	})
	gets, most := count(requests, "GET /v2/app/manifests/live"), 3+int(math.Log2(time.Since(begin).Seconds()+1))
	if gets > most {
		t.Errorf("the bad version was read %d times in %v, want at most %d", gets, time.Since(begin), most)
	}
	s := l.Status().Tags[0]
	_, _, header := w.send(http.MethodHead, "app/manifests/live", nil, "")
	if got, want := s.Bad.String(), header.Get("Docker-Content-Digest"); got != want || s.Problem == "" {
		t.Errorf("status: got bad %s, problem %q; want %s", got, s.Problem, want)
	}
	w.Publish("app", "live", map[string]string{"f": "good"})
	eventually(t, "all is well with the old version back", func() bool {
		s := l.Status()
		return s.Healthy && s.Tags[0].Bad == ""
	})
}

// TestAVersionWithoutItsLayersIsNotSwitchedIn: its tree is known, so that nothing
// of it need be read to show it; only its files would fail.
func TestAVersionWithoutItsLayersIsNotSwitchedIn(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "next", map[string]string{"f": noise(5000, 1)})
	w.Publish("app", "live", map[string]string{"f": "good"})
	l := w.open(t.TempDir(), 100*time.Millisecond)
	wantRead(t, l, "app", "live", "f", "good")
	e, err := l.Lookup(context.Background(), "app", "next")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tree is kept", e.Site.IsKept)
	w.SetAnswer(missing("/blobs/"))
	w.copyTag("app", "next", "live")
	eventually(t, "status tells", func() bool {
		s := l.Status().Tags
		return s[0].Tag == "live" && s[0].Problem != ""
	})
	wantRead(t, l, "app", "live", "f", "good")
	w.SetAnswer(nil)
	eventually(t, "it is switched in when the layers are there", func() bool {
		got, _ := read(l, "app", "live", "f")
		return got == noise(5000, 1)
	})
}

func TestASlowVersionKeepsNoOtherTagFromBeingFollowed(t *testing.T) {
	w := newWorld(t)
	for _, tag := range []string{"slow", "fast"} {
		w.Publish("app", tag, map[string]string{"f": "one"})
	}
	l := w.open(t.TempDir(), 100*time.Millisecond)
	wantRead(t, l, "app", "slow", "f", "one")
	wantRead(t, l, "app", "fast", "f", "one")
	hold := make(chan struct{})
	defer close(hold)
	w.SetAnswer(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/manifests/slow") {
			<-hold
		}
		return false
	})
	w.Publish("app", "slow", map[string]string{"f": "two"})
	w.Publish("app", "fast", map[string]string{"f": "three"})
	eventually(t, "the other tag moved", func() bool {
		got, _ := read(l, "app", "fast", "f")
		return got == "three"
	})
	wantRead(t, l, "app", "slow", "f", "one")
}

func TestADeletedRepositoryIsGoneOnceTheRegistrySaysSo(t *testing.T) {
	for name, catalog := range map[string]bool{"with a catalog": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Publish("team/app", "v1", map[string]string{"f": "x"})
			gone := missing("/v2/team/app/")
			if !catalog {
				gone = func(rw http.ResponseWriter, r *http.Request) bool {
					return missing("/v2/team/app/")(rw, r) || missing("_catalog")(rw, r)
				}
				w.SetAnswer(missing("_catalog"))
			}
			l := w.open(t.TempDir(), 100*time.Millisecond)
			wantRead(t, l, "team/app", "v1", "f", "x")
			w.SetAnswer(gone)
			for _, n := range [][2]string{{"team/app", "v1"}, {"team", "app"}} {
				eventually(t, fmt.Sprint(n, " is gone"), func() bool {
					_, err := l.Lookup(context.Background(), n[0], n[1])
					return errors.Is(err, fs.ErrNotExist)
				})
			}
		})
	}
}

// TestARepositoryThatIsLookedAtIsConfirmed: none of its tags is in use, and no
// catalog tells that it is gone.
func TestARepositoryThatIsLookedAtIsConfirmed(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f": "x"})
	w.SetAnswer(missing("_catalog"))
	l := w.open(t.TempDir(), 100*time.Millisecond)
	if e, err := l.Lookup(context.Background(), "", "app"); err != nil || e.Site != nil {
		t.Fatalf("got %+v, %v; want a folder", e, err)
	}
	w.SetAnswer(func(rw http.ResponseWriter, r *http.Request) bool {
		return missing("/v2/app/")(rw, r) || missing("_catalog")(rw, r)
	})
	l.names.mu.Lock()
	l.names.repos["app"] = time.Now().Add(-time.Hour)
	l.names.mu.Unlock()
	eventually(t, "it is gone", func() bool {
		_, err := l.Lookup(context.Background(), "", "app")
		return errors.Is(err, fs.ErrNotExist)
	})
}

// TestNewsIsSeenAtOnce: nothing would be asked for an hour.
func TestNewsIsSeenAtOnce(t *testing.T) {
	w := newWorld(t)
	w.Publish("team/app", "live", map[string]string{"f": "one"})
	l := w.open(t.TempDir(), time.Hour)
	var mu sync.Mutex
	told := map[string]bool{}
	l.OnChange(func(dir, name string) {
		mu.Lock()
		defer mu.Unlock()
		told[dir+"|"+name] = true
	})
	wantRead(t, l, "team/app", "live", "f", "one")
	wantError(t, l, "team/app", "next", fs.ErrNotExist)

	l.News("team/app", "live") // before it is true, as docker-registry does
	w.Publish("team/app", "live", map[string]string{"f": "two"})
	eventually(t, "the push is seen", func() bool {
		got, _ := read(l, "team/app", "live", "f")
		return got == "two"
	})
	w.copyTag("team/app", "live", "next")
	l.News("team/app", "next")
	mu.Lock()
	if !told["team/app|next"] {
		t.Errorf("the kernel was told of %v, want it to forget that there is no next", told)
	}
	mu.Unlock()
	wantRead(t, l, "team/app", "next", "f", "two") // though it was missing less than a second ago

	w.deleteTag("team/app", "live")
	l.News("team/app", "")
	eventually(t, "the deletion is seen", func() bool {
		_, err := read(l, "team/app", "live", "f")
		return errors.Is(err, fs.ErrNotExist)
	})
}

func TestNothingOfNewsIsBelieved(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "live", map[string]string{"f": "one"})
	l := w.open(t.TempDir(), time.Hour, "app")
	wantRead(t, l, "app", "live", "f", "one")
	requests, _ := w.Since(func() {
		for _, n := range [][2]string{{"other", "v1"}, {"../evil", "v1"}, {"app", "../x"}, {"", ""}, {strings.Repeat("a", 300), "v1"}} {
			l.News(n[0], n[1])
		}
	})
	if len(requests) > 0 {
		t.Errorf("got requests %q, want none", requests)
	}
	l.News("app", "live")
	l.News("app", "no-such-tag")
	wantRead(t, l, "app", "live", "f", "one")
	wantError(t, l, "app", "no-such-tag", fs.ErrNotExist)
}
