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

func TestNamesOfTags(t *testing.T) {
	w := newWorld(t)
	w.Publish("team/docs", "v3", map[string]string{"f": "docs"})
	w.Publish("a", "b", map[string]string{"f": "tag b of a"})
	w.Publish("a/b", "v1", map[string]string{"f": "a/b"})
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	e, err := l.Lookup(context.Background(), "team/docs", "v3")
	if err != nil {
		t.Fatal(err)
	}
	wantRead(t, l, "team/docs", "v3", "f", "docs")
	wantRead(t, l, "team", "docs:v3", "f", "docs")
	wantRead(t, l, "team", "docs@v3", "f", "docs")
	wantRead(t, l, "team", "docs@"+e.Site.Digest.String(), "f", "docs")
	wantRead(t, l, "", "a:b", "f", "tag b of a")
	wantRead(t, l, "a/b", "v1", "f", "a/b")
	for _, folder := range [][2]string{{"", "team"}, {"team", "docs"}, {"a", "b"}} {
		if e, err := l.Lookup(context.Background(), folder[0], folder[1]); err != nil || e.Site != nil {
			t.Errorf("%q: got %+v, %v; want a folder", folder, e, err)
		}
	}
	for dir, want := range map[string]string{"": "[a team]", "a": "[b]", "team": "[docs]", "team/docs": "[v3]", "a/b": "[v1]"} {
		if got, err := l.List(context.Background(), dir); err != nil || fmt.Sprint(union(got, nil)) != want {
			t.Errorf("list of %q: got %v, %v; want %v", dir, got, err, want)
		}
	}
}

func TestNamesThatCannotExistCostNoRequest(t *testing.T) {
	w := newWorld(t)
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	requests, _ := w.Since(func() {
		for _, name := range [][2]string{
			{"", ".env"}, {"", "UPPER"}, {"", "a b"}, {"", strings.Repeat("a", 256)}, {"my-app", "-x"}, {"", "a@sha256:xyz"},
			{"", "a:.."}, {"", ".well-known"}, {"my-app", "é"}, {"", "a\x00b"}, {"my-app", strings.Repeat("T", 129)}, {"", "\xff"},
		} {
			wantError(t, l, name[0], name[1], fs.ErrNotExist)
		}
	})
	if len(requests) > 0 {
		t.Errorf("got requests %q, want none", requests)
	}
}

func TestUnknownNamesAreAskedForOnceAndThenRemembered(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"f": "x"})
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	requests, _ := w.Since(func() {
		for range 20 {
			wantError(t, l, "", "nothing", fs.ErrNotExist)
		}
	})
	if len(requests) > 2 { // two if the second in which it is remembered has passed
		t.Errorf("got %d requests %q, want 1", len(requests), requests)
	}
	w.Publish("nothing", "v1", map[string]string{"f": "now"})
	eventually(t, "a new repository is seen", func() bool {
		got, _ := read(l, "nothing", "v1", "f")
		return got == "now"
	})
}

func TestAFolderAboveANewRepositoryShowsUp(t *testing.T) {
	w := newWorld(t)
	l := w.open(t.TempDir(), 100*time.Millisecond)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	wantError(t, l, "", "new", fs.ErrNotExist)
	w.Publish("new/deep/repo", "v1", map[string]string{"f": "x"})
	eventually(t, "the folder is there", func() bool {
		e, err := l.Lookup(context.Background(), "", "new")
		return err == nil && e.Site == nil
	})
	wantRead(t, l, "new/deep/repo", "v1", "f", "x")
}

func TestNoRightsAreNotAbsence(t *testing.T) {
	w := newWorld(t)
	l := w.open(t.TempDir(), time.Minute)
	w.SetAnswer(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusForbidden)
		return true
	})
	wantError(t, l, "secret", "v1", fs.ErrPermission)
}

func TestOnlyAllowedRepositoriesExist(t *testing.T) {
	w := newWorld(t)
	for _, repo := range []string{"team/a", "team/b/c", "other", "mine"} {
		w.Publish(repo, "v1", map[string]string{"f": repo})
	}
	l := w.open(t.TempDir(), time.Minute, "team/*", "mine")
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	wantRead(t, l, "team/a", "v1", "f", "team/a")
	wantRead(t, l, "mine", "v1", "f", "mine")
	requests, _ := w.Since(func() {
		wantError(t, l, "other", "v1", fs.ErrNotExist)
		wantError(t, l, "", "other:v1", fs.ErrNotExist)
		wantError(t, l, "team/b/c", "v1", fs.ErrNotExist)
	})
	if len(requests) > 0 {
		t.Errorf("got requests %q, want none", requests)
	}
	if got, err := l.List(context.Background(), ""); err != nil || fmt.Sprint(union(got, nil)) != "[mine team]" {
		t.Errorf("list: got %v, %v", got, err)
	}
}

func TestWithoutACatalogNothingIsLost(t *testing.T) {
	w := newWorld(t)
	w.Publish("team/docs", "v1", map[string]string{"f": "x"})
	w.Publish("seen", "v1", map[string]string{"f": "y"})
	w.SetAnswer(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "_catalog") {
			rw.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	l := w.open(t.TempDir(), time.Minute)
	wantRead(t, l, "team/docs", "v1", "f", "x")
	wantRead(t, l, "seen", "v1", "f", "y")
	if e, err := l.Lookup(context.Background(), "", "seen"); err != nil || e.Site != nil {
		t.Errorf("seen: got %+v, %v; want a folder", e, err)
	}
	if got, err := l.List(context.Background(), ""); err != nil || fmt.Sprint(union(got, nil)) != "[seen team]" {
		t.Errorf("list: got %v, %v; want what was looked up", got, err)
	}
}

// TestAnInterruptedListingIsNone: who is sent a signal while the registry lists its
// repositories would take the few that are known for all.
func TestAnInterruptedListingIsNone(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"f": "x"})
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	w.SetAnswer(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "_catalog") {
			asked <- struct{}{}
			<-answer
		}
		return false
	})
	l := w.open(t.TempDir(), time.Minute)
	<-asked
	ctx, interrupt := context.WithCancel(context.Background())
	interrupt()
	if got, err := l.List(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %v, %v; want %v", got, err, context.Canceled)
	}
	close(answer)
	if got, err := l.List(context.Background(), ""); err != nil || fmt.Sprint(got) != "[my-app]" {
		t.Errorf("again: got %v, %v", got, err)
	}
}

// TestAFolderGoesWithWhatIsInIt: one that holds something else, is a repository itself
// or that a pattern names stays.
func TestAFolderGoesWithWhatIsInIt(t *testing.T) {
	n := newNames([]string{"*", "*/*", "*/*/*", "team/*"})
	for _, repo := range []string{"a/b/c", "a/b/d", "e", "e/f", "team/g"} {
		n.add(repo)
	}
	for _, step := range []struct {
		removed, here, gone string
	}{
		{"a/b/c", "a a/b a/b/d e", "a/b/c"},
		{"a/b/d", "e e/f", "a a/b a/b/d"},
		{"e", "e e/f", ""},
		{"e/f", "team", "e e/f"},
		{"team/g", "team", "team/g"},
	} {
		if !n.remove(step.removed) || n.remove(step.removed) {
			t.Errorf("%s was not removed once", step.removed)
		}
		for _, name := range strings.Fields(step.here) {
			if !n.isFolder(name) {
				t.Errorf("without %s: %s is not there", step.removed, name)
			}
		}
		for _, name := range strings.Fields(step.gone) {
			if n.isFolder(name) {
				t.Errorf("without %s: %s is there", step.removed, name)
			}
		}
	}
	if got := n.list(""); fmt.Sprint(got) != "[team]" || len(n.folders) != 2 {
		t.Errorf("got %v in %v, want team alone", got, n.folders)
	}
}

// TestAListTakesNothingAwayThatCameSinceItWasAskedFor: a repository may be new, and a
// list too long to be remembered with it.
func TestAListTakesNothingAwayThatCameSinceItWasAskedFor(t *testing.T) {
	now := time.Unix(1000, 0)
	n := newNames(nil)
	n.now = func() time.Time { now = now.Add(time.Second); return now }
	n.add("before")
	n.asking()
	n.add("team/found")
	n.keep("shown")
	many := make([]string, maxRepositories)
	for i := range many {
		many[i] = fmt.Sprintf("n%06d", i)
	}
	n.replace(many, []string{many[len(many)-1]}, true)
	for _, name := range []string{"team/found", "shown", many[0], many[len(many)-4], many[len(many)-1]} {
		if !n.isRepository(name) || !n.isFolder(name) {
			t.Errorf("%s is not there", name)
		}
	}
	if n.isRepository("before") {
		t.Error("what the list does not have is there")
	}
	if got := len(n.all()); got != maxRepositories {
		t.Errorf("got %d names of a list that is too long, want %d", got, maxRepositories)
	}
	if n.add("one-more") || n.isRepository("one-more") {
		t.Error("a full table takes one more")
	}
	n.keep("shown-later")
	if !n.isRepository("shown-later") {
		t.Error("a full table does not take one of which a tag is shown")
	}
	n.asking()
	n.replace([]string{"last"}, nil, true)
	if got := n.all(); len(got) != 1 {
		t.Errorf("got %d names, want the last list alone", len(got))
	}
}
