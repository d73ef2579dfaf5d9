package namespace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// storm asks for names nobody has, for about a second, and counts the answers.
func storm(l *Live, dir, form string) (busy, absent, other int) {
	for i, end := 0, time.Now().Add(1200*time.Millisecond); time.Now().Before(end); i++ {
		_, err := l.Lookup(context.Background(), dir, fmt.Sprintf(form, i))
		switch {
		case errors.Is(err, ErrBusy):
			busy++
		case errors.Is(err, fs.ErrNotExist):
			absent++
		default:
			other++
		}
	}
	return busy, absent, other
}

// TestAStormOfUnknownNamesHitsABudget: the registry is asked for some, and what
// is over is not called missing. Known sites go on.
func TestAStormOfUnknownNamesHitsABudget(t *testing.T) {
	if testing.Short() {
		t.Skip("once: the plain run has it")
	}
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f": "x"})
	w.Publish("app", "v2", map[string]string{"f": "y"})
	w.SetAnswer(missing("_catalog"))
	for what, name := range map[string][2]string{
		"repositories": {"", "r.%d"}, // none that may be a folder
		"tags":         {"app", "t%d"},
		"digests":      {"", "app@sha256:%064x"},
		"spelled tags": {"", "app:t%d"},
	} {
		l := w.open(t.TempDir(), time.Minute)
		wantRead(t, l, "app", "v1", "f", "x")
		<-l.listed
		var busy, absent, other int
		begin := time.Now()
		requests, _ := w.Since(func() { busy, absent, other = storm(l, name[0], name[1]) })
		if took := time.Since(begin); float64(len(requests)) > 50*(took.Seconds()+1) || len(requests) < 10 {
			t.Errorf("%s: got %d requests in %v, want some, at most 50 a second", what, len(requests), took)
		}
		if busy == 0 || absent == 0 || other > 0 {
			t.Errorf("%s: got %d busy, %d absent, %d other answers", what, busy, absent, other)
		}
		wantRead(t, l, "app", "v1", "f", "x")
		if what == "repositories" {
			wantRead(t, l, "app", "v2", "f", "y") // a tag of a known repository has questions of its own
		}
		if s := l.Status(); !s.Healthy {
			t.Errorf("%s: it counts as the registry's failure: %s", what, s.Problem)
		}
	}
}

// TestWhatNobodyWaitsForIsAskedBehind: when all patience is spent a name is turned
// away at once, and is there for who comes back; there is no end to that.
func TestWhatNobodyWaitsForIsAskedBehind(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f": "x"})
	w.SetAnswer(missing("_catalog"))
	for what, name := range map[string][2]string{"a tag": {"app", "v1"}, "a repository": {"", "app"}, "a spelled tag": {"", "app:v1"}} {
		l := w.open(t.TempDir(), time.Minute)
		<-l.listed
		l.questions.mu.Lock()
		l.questions.spent, l.questions.at = 2*patience, time.Now()
		l.questions.mu.Unlock()
		lookup := func() error {
			_, err := l.Lookup(context.Background(), name[0], name[1])
			return err
		}
		if err := lookup(); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: got %v, want ErrBusy", what, err)
		}
		eventually(t, what, func() bool { return lookup() == nil })
		if _, err := l.Lookup(context.Background(), "app", "nothing"); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: another name then: got %v, want ErrBusy", what, err)
		}
	}
}

// TestPatienceComesBack: a part of the time that passes is earned.
func TestPatienceComesBack(t *testing.T) {
	q := newQuestions()
	now := time.Now()
	q.now = func() time.Time { return now }
	wait := func(long time.Duration) bool {
		leave, ok := q.enter()
		if ok {
			now = now.Add(long)
			leave()
		}
		return ok
	}
	for i := range 3 {
		if got, want := wait(patience*2/3), i < 2; got != want {
			t.Errorf("wait %d: got %v, want %v", i, got, want)
		}
	}
	now = now.Add(patience * patienceShare / 2)
	if !wait(20 * time.Millisecond) {
		t.Error("a while later: got no wait")
	}
	if !wait(time.Hour) || wait(0) {
		t.Error("after a wait that has no end: got another")
	}
	now = now.Add(patience*patienceShare + time.Minute)
	if !wait(0) {
		t.Error("what was waited too long is held against everybody for ever")
	}
}

// TestTheCatalogAnswersWhatIsOverTheBudget: a name that is not in the registry's
// own list, read just now, is missing.
func TestTheCatalogAnswersWhatIsOverTheBudget(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f": "x"})
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	busy, absent, other := storm(l, "", "r%d")
	if busy > 0 || other > 0 || absent < 100 {
		t.Errorf("got %d busy, %d absent, %d other answers; want all absent", busy, absent, other)
	}
}

func TestAbsencesAreBounded(t *testing.T) {
	a := &absences{now: time.Now}
	for i := range 3 * maxAbsences {
		a.add(fmt.Sprint(i))
	}
	if len(a.till) > maxAbsences {
		t.Errorf("got %d, want at most %d", len(a.till), maxAbsences)
	}
	if !a.holds(fmt.Sprint(3*maxAbsences - 1)) {
		t.Error("the last is not there")
	}
}

func TestBadVersionsAreBoundedAndTriedLessAndLess(t *testing.T) {
	now := time.Unix(1000, 0)
	b := &badVersions{now: func() time.Time { return now }}
	wrong := errors.New("no site")
	p := pin{repo: "app"}
	tried := 0
	for range 3600 {
		if b.check(p) == nil {
			tried++
			b.note(p, wrong)
		}
		now = now.Add(time.Second)
	}
	if tried < 8 || tried > 20 {
		t.Errorf("a bad version was tried %d times in an hour", tried)
	}
	for i := range 2 * maxBad {
		b.note(pin{repo: fmt.Sprint(i)}, wrong)
	}
	if len(b.m) > maxBad {
		t.Errorf("got %d, want at most %d", len(b.m), maxBad)
	}
	b.note(p, wrong)
	b.note(p, nil)
	if err := b.check(p); err != nil {
		t.Errorf("after it became good: %v", err)
	}
}

// TestNamesWorkWithAnyKindOfCatalog: every shape of a registry gives the same
// sites, under every spelling.
func TestNamesWorkWithAnyKindOfCatalog(t *testing.T) {
	w := newWorld(t)
	w.Publish("a", "b", map[string]string{"f": "tag b of a"})
	w.Publish("a/b", "v1", map[string]string{"f": "a/b:v1"})
	w.Publish("a/b/c/d", "v1", map[string]string{"f": "deep"})
	w.Publish("team/docs", "v3", map[string]string{"f": "docs"})
	refuse := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/_catalog") {
				rw.WriteHeader(status)
				return true
			}
			return false
		}
	}
	for name, kind := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request) bool
		repos  []string
	}{
		"listed":        {nil, nil},
		"401":           {refuse(http.StatusUnauthorized), nil},
		"403":           {refuse(http.StatusForbidden), nil},
		"404":           {refuse(http.StatusNotFound), nil},
		"500":           {refuse(http.StatusInternalServerError), nil},
		"patterns":      {refuse(http.StatusUnauthorized), []string{"a", "a/*", "a/*/*/*", "team/*"}},
		"with patterns": {nil, []string{"a", "a/*", "a/*/*/*", "team/*"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.SetAnswer(kind.answer)
			l := w.open(w.T.TempDir(), time.Minute, kind.repos...) // it is closed with w
			<-l.listed
			wantRead(t, l, "", "a:b", "f", "tag b of a")
			wantRead(t, l, "", "a@b", "f", "tag b of a")
			wantRead(t, l, "a/b", "v1", "f", "a/b:v1")
			wantRead(t, l, "a", "b:v1", "f", "a/b:v1")
			wantRead(t, l, "a/b/c/d", "v1", "f", "deep")
			wantRead(t, l, "a/b/c", "d@v1", "f", "deep")
			e, err := l.Lookup(context.Background(), "team/docs", "v3")
			if err != nil {
				t.Fatal(err)
			}
			wantRead(t, l, "team", "docs@"+e.Site.Digest.String(), "f", "docs")
			if e, err := l.Lookup(context.Background(), "a", "b"); err != nil || e.Site != nil {
				t.Errorf("a/b: got %+v, %v; want the repository", e, err)
			}
			if got, err := l.List(context.Background(), "a"); err != nil || fmt.Sprint(union(got, nil)) != "[b]" {
				t.Errorf("list of a: got %v, %v; want b", got, err)
			}
			wantError(t, l, "a/b", "v9", fs.ErrNotExist)
			wantError(t, l, "a/b", "sha256:v9", fs.ErrNotExist)
		})
	}
}

func TestTheLongestNamesAreLookedUpAndLongerOnesAreNot(t *testing.T) {
	w := newWorld(t)
	l := w.open(t.TempDir(), time.Minute)
	<-l.listed
	repo := strings.Repeat("a/", 127) + "a" // 255
	tag := strings.Repeat("T", 128)
	w.Publish(repo, tag, map[string]string{"f": "x"})
	wantRead(t, l, repo, tag, "f", "x")
	requests, _ := w.Since(func() {
		wantError(t, l, repo+"a", tag, fs.ErrNotExist)
		wantError(t, l, repo, tag+"T", fs.ErrNotExist)
	})
	if len(requests) > 0 {
		t.Errorf("got requests %q, want none", requests)
	}
}

// TestALookupWaitsForNoListing: the registry takes for ever to list.
func TestALookupWaitsForNoListing(t *testing.T) {
	w := newWorld(t)
	w.Publish("team/app", "v1", map[string]string{"f": "x"})
	hold := make(chan struct{})
	defer close(hold)
	w.SetAnswer(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/_catalog") || strings.HasSuffix(r.URL.Path, "/team/app/tags/list") && r.URL.Query().Get("n") != "1" {
			<-hold
		}
		return false
	})
	l := w.open(t.TempDir(), time.Minute)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go l.List(ctx, "")
	go l.List(ctx, "team/app")
	wantRead(t, l, "team/app", "v1", "f", "x")
	wantRead(t, l, "team", "app:v1", "f", "x")
	begin := time.Now()
	if _, err := l.Lookup(context.Background(), "", "unknown"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that may be a folder: got %v, want that it is not known", err)
	}
	if took := time.Since(begin); took > answerBudget+20*time.Second { // the listing would never end
		t.Errorf("it waited %v", took)
	}
}

// TestWhyATagCannotBeShownIsSaid: the name might be a repository's, and that the
// registry does not say whether it is hides nothing of what is wrong with the tag.
func TestWhyATagCannotBeShownIsSaid(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f": "x"})
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	for what, unsaid := range map[string]http.HandlerFunc{
		"sent on to a host that has it not": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
		},
		"failing": func(rw http.ResponseWriter, _ *http.Request) {
			http.Error(rw, "no", http.StatusInternalServerError)
		},
		"no list of tags": func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "<html>") },
	} {
		w.SetAnswer(func(rw http.ResponseWriter, r *http.Request) bool {
			switch {
			case strings.Contains(r.URL.Path, "/blobs/"):
				http.NotFound(rw, r)
			case strings.HasSuffix(r.URL.Path, "/app/v1/tags/list"):
				unsaid(rw, r)
			case strings.HasSuffix(r.URL.Path, "_catalog"):
				http.NotFound(rw, r)
			default:
				return false
			}
			return true
		})
		l := w.open(t.TempDir(), time.Minute)
		<-l.listed
		x := l.Explain(context.Background(), "app/v1")
		if x.Is != IsUnknown || !strings.Contains(x.Reason, "blob") || strings.Contains(x.Reason, "the tags of") {
			t.Errorf("%s: got %q because %q, want the blob that is missing", what, x.Is, x.Reason)
		}
	}
}
