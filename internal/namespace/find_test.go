package namespace

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/regfs/regfs/internal/site"
)

func lookup(t *testing.T, l *Live, dir, name string) *site.Site {
	t.Helper()
	e, err := l.Lookup(context.Background(), dir, name)
	if err != nil || e.Site == nil {
		t.Fatalf("%s/%s: got %v, %v; want a site", dir, name, e, err)
	}
	return e.Site
}

func TestPathsLeadIntoSites(t *testing.T) {
	w := newWorld(t)
	w.Publish("team/docs", "v3", map[string]string{"index.html": "x"})
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
