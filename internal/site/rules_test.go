package site

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/regfs/regfs/internal/bundle"
)

func TestPathsLeadIntoSites(t *testing.T) {
	w := newWorld(t)
	w.publish("team/docs", "v3", map[string]string{"index.html": "x"})
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	want := lookup(t, l, "team/docs", "v3")
	for _, c := range []struct{ path, above, rest string }{
		{"/team/docs/v3", "/team/docs/v3", "/"},
		{"/team/docs/v3/", "/team/docs/v3", "/"},
		{"/team/docs/v3/a/b/", "/team/docs/v3", "/a/b/"},
		{"//team//docs//v3//a", "", ""},
		{"/team/docs:v3/a", "/team/docs:v3", "/a"},
		{"/team/docs@" + want.Digest.String() + "/a", "/team/docs@" + want.Digest.String(), "/a"},
		{"/.regfs/hosts/v3--team--docs/a", "/.regfs/hosts/v3--team--docs", "/a"},
		{"/.regfs/hosts/v4--team--docs/a", "", ""},
		{"/.regfs/hosts/", "", ""},
		{"/.regfs/status.json", "", ""},
		{"/team/docs", "", ""},
		{"/team/docs/v4/a", "", ""},
		{"/", "", ""},
		{"", "", ""},
	} {
		s, above, rest, err := l.Find(context.Background(), c.path)
		if c.above == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: got %v, %v; want that it leads into no site", c.path, s, err)
			}
			continue
		}
		if err != nil || s == nil || s.Digest != want.Digest || above != c.above || rest != c.rest {
			t.Errorf("%s: got %v, %q, %q, %v; want %q and %q", c.path, s, above, rest, err, c.above, c.rest)
		}
	}
}

func TestRulesTravelWithTheSite(t *testing.T) {
	w := newWorld(t)
	w.publishAs("my-app", bundle.Options{Version: "v1"}, map[string]string{
		"index.html": "x", "about.html": "x", "guide/index.html": "x",
		"_redirects": "/old /new 302\n/about /other\n", "_headers": "/*\n  X-A: b\n",
	})
	dir := t.TempDir()
	check := func(l *Live) {
		t.Helper()
		s := lookup(t, l, "my-app", "v1")
		o, ok := s.Rules().Redirect("/old", "", func() bool { return false })
		if !ok || o.Status != 302 || o.Target != "/new" || s.Rules().Headers("/")["X-A"] != "b" || !s.HasRules() {
			t.Errorf("got %v, %v, %v", o, ok, s.Rules().Headers("/"))
		}
		for name, want := range map[string]string{
			"/": "/index.html", "/about": "/about.html", "/guide/": "/guide/index.html", "/about.html": "/about.html",
			"/../about": "/about.html", "/none": "", "/_redirects": "", "/about/x": "",
		} {
			if got, _ := s.Page(name); got != want {
				t.Errorf("page of %s: got %q, want %q", name, got, want)
			}
		}
	}
	l := w.open(dir, time.Minute)
	check(l)
	l.Close()
	l.loader.store.Close()
	w.setDown(true)
	check(w.open(dir, time.Minute))
}

// A rule for all that is not there leaves the assets of pages that are open.
func TestRulesStandBackForAssetsOfEarlierVersions(t *testing.T) {
	w := newWorld(t)
	l, end := w.openKeeping(t.TempDir(), time.Hour)
	defer end()
	w.move(l, "1")
	w.move(l, "2")
	s := lookup(t, l, "app", "live")
	for name, want := range map[string]bool{
		"/": true, "/assets/app-00000002a.js": true, "/assets/app-00000001a.js": true, "/assets/none.js": false, "/old.html": false,
	} {
		if got := s.HasPage(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
