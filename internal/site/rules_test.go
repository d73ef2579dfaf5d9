package site

import (
	"testing"
	"time"

	"github.com/regfs/regfs/internal/bundle"
)

func TestRulesTravelWithTheSite(t *testing.T) {
	w := newWorld(t)
	w.PublishAs("my-app", bundle.Options{Version: "v1"}, map[string]string{
		"index.html": "x", "about.html": "x", "guide/index.html": "x",
		"_redirects": "/old /new 302\n/about /other\n", "_headers": "/*\n  X-A: b\n",
	})
	dir := t.TempDir()
	check := func(s *Site) {
		t.Helper()
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
	l, end := w.open(dir)
	s := w.site(l, "my-app", "v1")
	check(s)
	end()
	w.SetDown(true)
	l, _ = w.open(dir)
	check(w.kept(l, s))
}

// A rule for all that is not there leaves the assets of pages that are open.
func TestRulesStandBackForAssetsOfEarlierVersions(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open(t.TempDir())
	s := w.following(l, time.Now().Add(time.Hour))
	for name, want := range map[string]bool{
		"/": true, "/assets/app-00000002a.js": true, "/assets/app-00000001a.js": true, "/assets/none.js": false, "/old.html": false,
	} {
		if got := s.HasPage(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
