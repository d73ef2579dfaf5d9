package site

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regfs/regfs/internal/bundle"
	"github.com/regfs/regfs/internal/manifest"
)

// kept is a site as the store has it.
func (w *world) kept(l *Loader, s *Site) *Site {
	w.T.Helper()
	again, err := l.Kept(s.repo, s.Digest)
	if err != nil {
		w.T.Fatal(err)
	}
	return again
}

// publishSPA publishes a site that says how it wants to be served.
func (w *world) publishSPA(repo, tag string) {
	w.T.Helper()
	spa := true
	w.PublishAs(repo, bundle.Options{Version: tag, SPA: &spa}, map[string]string{"index.html": "app"})
}

func TestSettingsAreKnownAndKept(t *testing.T) {
	w := newWorld(t)
	w.publishSPA("my-app", "v1")
	w.Publish("my-app", "v2", map[string]string{"index.html": "plain"})
	dir := t.TempDir()
	l, end := w.open(dir)
	spa, plain := w.site(l, "my-app", "v1"), w.site(l, "my-app", "v2")
	check := func(spa, plain *Site) {
		t.Helper()
		if !spa.Settings.SPA {
			t.Error("v1 is not a single-page application")
		}
		if plain.Settings.SPA {
			t.Error("v2 is a single-page application")
		}
	}
	check(spa, plain)
	end()
	w.SetDown(true)
	l, _ = w.open(dir)
	check(w.kept(l, spa), w.kept(l, plain))
}

// What an older version kept knows no settings.
func TestRecordsOfOtherVersionsAreMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.publishSPA("my-app", "v1")
	l, _ := w.open(t.TempDir())
	s := w.site(l, "my-app", "v1")
	eventually(t, "the tree is kept", s.IsKept)
	if _, err := l.Kept("my-app", s.Digest); err != nil {
		t.Fatal(err)
	}
	data, err := l.store.LoadDocument(l.treeName(s.repo, s.Digest))
	if err != nil {
		t.Fatal(err)
	}
	older := bytes.Replace(data, fmt.Appendf(nil, `{"version":%d,`, recordVersion), []byte(`{`), 1)
	if bytes.Equal(older, data) {
		t.Fatalf("a kept document begins with %.60q", data)
	}
	if err := l.store.SaveDocument(l.treeName(s.repo, s.Digest), older); err != nil {
		t.Fatal(err)
	}
	if s, err := l.Kept("my-app", s.Digest); err == nil {
		t.Errorf("got %+v from what an older version kept", s.Settings)
	}
}

func TestSettingsThatMakeNoSenseAreToldAndLeftOut(t *testing.T) {
	m := &v1.Manifest{Config: manifest.Descriptor{MediaType: manifest.MediaTypeConfig}}
	r, err := newRecord("", m, []byte("{\"rootDir\": \"app\",\n\"spa\": \"yes\", \"x\": 1}"))
	if err != nil || r.Settings.SPA || r.RootDir != "app" || r.Settings.Other != nil {
		t.Errorf("got %+v, %v", r, err)
	}
	if want := `(line 2): spa: "yes" is neither true nor false`; !strings.HasSuffix(r.Warning, want) {
		t.Errorf("got warning %q, want it to end in %q", r.Warning, want)
	}
}
