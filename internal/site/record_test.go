package site

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regfs/regfs/internal/bundle"
	"github.com/regfs/regfs/internal/manifest"
)

func lookup(t *testing.T, l *Live, dir, name string) *Site {
	t.Helper()
	e, err := l.Lookup(context.Background(), dir, name)
	if err != nil || e.Site == nil {
		t.Fatalf("%s/%s: got %v, %v; want a site", dir, name, e, err)
	}
	return e.Site
}

// publishSPA publishes a site that says how it wants to be served.
func (w *world) publishSPA(repo, tag string) {
	w.t.Helper()
	spa := true
	w.publishAs(repo, bundle.Options{Version: tag, SPA: &spa}, map[string]string{"index.html": "app"})
}

func TestSettingsAreKnownAndKept(t *testing.T) {
	w := newWorld(t)
	w.publishSPA("my-app", "v1")
	w.publish("my-app", "v2", map[string]string{"index.html": "plain"})
	dir := t.TempDir()
	l := w.open(dir, time.Minute)
	check := func(l *Live) {
		t.Helper()
		if !lookup(t, l, "my-app", "v1").Settings.SPA {
			t.Error("v1 is not a single-page application")
		}
		if lookup(t, l, "my-app", "v2").Settings.SPA {
			t.Error("v2 is a single-page application")
		}
	}
	check(l)
	l.Close()
	l.loader.store.Close()
	w.setDown(true)
	check(w.open(dir, time.Minute))
}

// What an older version kept knows no settings.
func TestRecordsOfOtherVersionsAreMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.publishSPA("my-app", "v1")
	l := w.open(t.TempDir(), time.Minute)
	s := lookup(t, l, "my-app", "v1")
	eventually(t, "the tree is kept", s.isKept.Load)
	if _, err := l.loader.kept("my-app", s.Digest); err != nil {
		t.Fatal(err)
	}
	data, err := l.loader.store.LoadDocument(treeName(s.Digest))
	if err != nil {
		t.Fatal(err)
	}
	older := bytes.Replace(data, fmt.Appendf(nil, `{"version":%d,`, recordVersion), []byte(`{`), 1)
	if bytes.Equal(older, data) {
		t.Fatalf("a kept document begins with %.60q", data)
	}
	if err := l.loader.store.SaveDocument(treeName(s.Digest), older); err != nil {
		t.Fatal(err)
	}
	if s, err := l.loader.kept("my-app", s.Digest); err == nil {
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
