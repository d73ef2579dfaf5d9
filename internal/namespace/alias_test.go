package namespace

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regfs/regfs/registry"
)

func TestAliasesStandForTheHighestVersionThatFits(t *testing.T) {
	tags := []string{
		"v1.0.0", "1.2.3", "v1.2.10", "v1.2.9", "v1.10.0", "2.0.0-rc.1", "v2.0.0-rc.2", "v2.0.0-beta", "v10.0.0", "v10.0.1-alpha",
		"main", "1.99", "v01.5.0", "1.2.3.4", "v3",
	}
	for alias, want := range map[string]string{
		"1": "v1.10.0", "v1": "v1.10.0", "1.2": "v1.2.10", "v1.2": "v1.2.10", "1.2.3": "1.2.3", "v1.2.3": "1.2.3",
		"latest": "v10.0.0", "10": "v10.0.0", "2": "", "2.0.0": "", "2.0.0-rc": "v2.0.0-rc.2", "2.0.0-beta": "v2.0.0-beta",
		"1.99": "1.99", "v3": "v3", "3": "", "1.3": "", "0": "", "v10.0.1-alpha": "v10.0.1-alpha", "10.0.1": "",
	} {
		for range 2 {
			if got := highest(alias, tags); got != want {
				t.Errorf("%s: got %q, want %q", alias, got, want)
			}
			slices.Reverse(tags) // the order does not matter
		}
	}
	if got := highest("latest", append(tags, "latest")); got != "latest" {
		t.Errorf("a tag of that very name: got %q", got)
	}
	for name, want := range map[string]bool{
		"latest": true, "1": true, "v1.2": true, "1.2.3-rc.1": true, "main": false, "01": false, "1.2.3.4": false, "": false, "v": false, "1-rc": false, "vv1": false,
	} {
		if got := isAlias(name); got != want {
			t.Errorf("isAlias(%q): got %v, want %v", name, got, want)
		}
	}
}

func TestAliasesResolveToSites(t *testing.T) {
	w := newWorld(t)
	for _, v := range []string{"v1.0.0", "v1.1.0", "v2.0.0-rc.1"} {
		w.Publish("team/app", v, map[string]string{"f": v})
	}
	l := w.open(t.TempDir(), time.Minute)
	for name, want := range map[string]string{"app@1": "v1.1.0", "app@1.0": "v1.0.0", "app@latest": "v1.1.0", "app@2.0.0-rc": "v2.0.0-rc.1", "app@1.1.0": "v1.1.0"} {
		wantRead(t, l, "team", name, "f", want)
	}
	for _, name := range []string{"app@3", "app@2", "app:1", "none@1", "app@main"} {
		wantError(t, l, "team", name, fs.ErrNotExist)
	}
	wantError(t, l, "team/app", "1", fs.ErrNotExist) // aliases are no directories of the repository
	requests, _ := w.Since(func() { wantRead(t, l, "team", "app@1", "f", "v1.1.0") })
	if len(requests) > 0 {
		t.Errorf("again: got %q, want no request", requests)
	}
	if e, err := l.Lookup(t.Context(), "team", "app@1"); err != nil || e.Fixed {
		t.Errorf("got %+v, %v; want a site that may change", e, err)
	}
	w.Publish("team/app", "latest", map[string]string{"f": "a tag"})
	wantRead(t, l, "team", "app@latest", "f", "v1.1.0") // until the refresh
	w.Publish("other", "latest", map[string]string{"f": "a tag"})
	w.Publish("other", "1.0.0", map[string]string{"f": "a version"})
	wantRead(t, l, "", "other@latest", "f", "a tag")
}

func TestAnAliasFollowsNewTags(t *testing.T) {
	w := newWorld(t)
	w.Publish("team/app", "v1.0.0", map[string]string{"f": "one"})
	l := w.open(t.TempDir(), 100*time.Millisecond)
	var mu sync.Mutex
	told := map[string]int{}
	l.OnChange(func(dir, name string) {
		mu.Lock()
		defer mu.Unlock()
		told[dir+"|"+name]++
	})
	wantTold := func(what string, n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s is told %d times", what, n), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return told[what] >= n
		})
	}
	wantRead(t, l, "team", "app@1", "f", "one")
	w.Publish("team/app", "v1.0.1", map[string]string{"f": "two"})
	wantTold("team|app@1", 1)
	wantTold(".regfs/hosts|1--team--app", 1)
	wantRead(t, l, "team", "app@1", "f", "two")

	// The tag that it stands for moves.
	w.Publish("team/app", "v1.0.1", map[string]string{"f": "three"})
	wantTold("team|app@1", 2)
	wantRead(t, l, "team", "app@1", "f", "three")

	// A tag of that very name wins.
	w.Publish("team/app", "1", map[string]string{"f": "a tag"})
	wantTold("team|app@1", 3)
	eventually(t, "the tag is shown", func() bool { got, _ := read(l, "team", "app@1", "f"); return got == "a tag" })
	if l.aliases.has(ref{"team/app", "1"}) {
		t.Error("a tag is still taken for an alias")
	}
}

func TestAnAliasFallsBackWhenItsTagIsDeleted(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1.0.0", map[string]string{"f": "one"})
	w.Publish("app", "v1.1.0", map[string]string{"f": "two"})
	l := w.open(t.TempDir(), 100*time.Millisecond)
	wantRead(t, l, "", "app@1", "f", "two")
	w.SetAnswer(func(rw http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, "/manifests/v1.1.0"):
			http.Error(rw, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
			return true
		case strings.HasSuffix(r.URL.Path, "/tags/list"):
			fmt.Fprint(rw, `{"name": "app", "tags": ["v1.0.0"]}`)
			return true
		}
		return false
	})
	eventually(t, "the version before is shown", func() bool { got, _ := read(l, "", "app@1", "f"); return got == "one" })
}

func TestAliasesOutliveTheRegistry(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1.0.0", map[string]string{"f": "one"})
	dir := t.TempDir()
	l := w.open(dir, 50*time.Millisecond)
	wantRead(t, l, "", "app@1", "f", "one")
	w.SetDown(true)
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		wantRead(t, l, "", "app@1", "f", "one")
	}
	wantError(t, l, "", "app@2", registry.ErrUnavailable) // nobody knows
	l.Close()
	l = w.open(dir, 50*time.Millisecond)
	wantRead(t, l, "", "app@1", "f", "one")
	wantError(t, l, "", "app@latest", registry.ErrUnavailable)
	w.SetDown(false)
	w.Publish("app", "v1.2.0", map[string]string{"f": "two"})
	eventually(t, "the new version is shown", func() bool { got, _ := read(l, "", "app@1", "f"); return got == "two" })
}

func TestARegistryThatListsNoTagsDoesNotDenyAnAlias(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1.0.0", map[string]string{"f": "one"})
	answer := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/tags/list") {
				return false
			}
			http.Error(rw, "no", status)
			return true
		}
	}
	w.SetAnswer(answer(http.StatusForbidden))
	l := w.open(t.TempDir(), time.Minute)
	wantError(t, l, "", "app@1", fs.ErrPermission)
	wantRead(t, l, "", "app:v1.0.0", "f", "one")
	for i, status := range []int{http.StatusInternalServerError, http.StatusNotFound, http.StatusMethodNotAllowed} {
		w.SetAnswer(answer(status))
		wantError(t, l, "", fmt.Sprintf("app@%d", i+2), registry.ErrUnavailable)
	}
}

func TestAnAliasFollowsNewsOfATagThatIsNotListedYet(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1.0.0", map[string]string{"f": "one"})
	l := w.open(t.TempDir(), time.Hour)
	wantRead(t, l, "", "app@1", "f", "one")
	w.Publish("app", "v1.1.0", map[string]string{"f": "two"})
	var lists atomic.Int32
	w.SetAnswer(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/tags/list") || lists.Add(1) > 2 {
			return false
		}
		fmt.Fprint(rw, `{"name": "app", "tags": ["v1.0.0"]}`)
		return true
	})
	l.News("app", "v1.1.0")
	eventually(t, "the new version is shown", func() bool { got, _ := read(l, "", "app@1", "f"); return got == "two" })
	if lists.Load() < 3 {
		t.Errorf("got the tags listed %d times: the test shows nothing", lists.Load())
	}
}

func TestManyAliasesListTheTagsOnce(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.Publish("app", fmt.Sprintf("v%d.0.0", i), map[string]string{"f": fmt.Sprint(i)})
	}
	l := w.open(t.TempDir(), time.Minute)
	requests, _ := w.Since(func() {
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				if _, err := l.Lookup(context.Background(), "", fmt.Sprintf("app@%d", i)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
	lists := 0
	for _, r := range requests {
		if strings.HasSuffix(r, "/app/tags/list") {
			lists++
		}
	}
	if lists == 0 || lists > 2 { // a second time if this took a second
		t.Errorf("got the tags listed %d times, want once: %q", lists, requests)
	}
}

func TestTheTableOfAliasesIsBounded(t *testing.T) {
	a := newAliases()
	begin := time.Unix(0, 0)
	for i := range maxAliases + 10 {
		a.set(ref{"app", fmt.Sprint(i)}, "v1.0.0", begin.Add(time.Duration(i)))
	}
	if len(a.known) != maxAliases || a.has(ref{"app", "0"}) || !a.has(ref{"app", fmt.Sprint(maxAliases + 9)}) {
		t.Errorf("got %d aliases, the oldest there: %v", len(a.known), a.has(ref{"app", "0"}))
	}
	for i := range maxVersionLists + 1 {
		a.list(fmt.Sprint(i), nil, begin)
	}
	if len(a.versions) > maxVersionLists {
		t.Errorf("got %d lists", len(a.versions))
	}
}

func FuzzHighest(f *testing.F) {
	f.Add("1", "v1.2.3 1.2.4 1.3.0-rc.1")
	f.Add("latest", "latest 2.0.0")
	f.Add("2.0.0-rc", "v2.0.0-rc.1 v2.0.0-rc.2 v2.0.0")
	f.Fuzz(func(t *testing.T, name, list string) {
		tags := strings.Fields(list)
		got := highest(name, tags)
		if got != "" && !slices.Contains(tags, got) {
			t.Errorf("%q of %q: got %q, which is none of them", name, tags, got)
		}
		if slices.Contains(tags, name) && name != "" && got != name {
			t.Errorf("%q of %q: got %q, want the tag of that name", name, tags, got)
		}
		slices.Reverse(tags)
		if again := highest(name, tags); withV(again) != withV(got) {
			t.Errorf("%q of %q: got %q, in the other order %q", name, tags, got, again)
		}
	})
}
