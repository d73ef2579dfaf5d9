package site

import (
	"errors"
	"io/fs"
	"path"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

// following makes a site that follows another, whose assets are kept till then.
func (w *world) following(l *Loader, till time.Time) *Site {
	w.T.Helper()
	var sites []*Site
	for _, version := range []string{"1", "2"} {
		sites = append(sites, w.load(l, "app", "live", map[string]string{
			"index.html":                            version,
			"assets/app-0000000" + version + "a.js": "script of " + version,
		}))
	}
	return l.WithPast(sites[1], []Past{{sites[0].Digest, till}})
}

// assetOf gives a file that is missing in a site.
func assetOf(t testing.TB, s *Site, file string) (string, error) {
	t.Helper()
	dir, ok := s.Tree.Walk(tree.Root, path.Dir(file), true)
	if !ok {
		t.Fatalf("no folder %s", path.Dir(file))
	}
	a, err := s.Asset(t.Context(), dir, path.Base(file))
	if err != nil {
		return "", err
	}
	return read(a.Site, a.Site.Tree.Path(a.Node))
}

func TestAnAssetIsThereUntilItsTime(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open(t.TempDir())
	s := w.following(l, time.Now().Add(time.Hour))
	const file = "assets/app-00000001a.js"
	if got, err := assetOf(t, s, file); got != "script of 1" || err != nil {
		t.Errorf("got %.40q, %v; want the script of the version before", got, err)
	}
	s.past.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if _, err := assetOf(t, s, file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after its time: got %v", err)
	}
}

// TestAnAssetThatCannotBeLookedForIsNotMissing: the earlier version's tree is not
// here, and the registry does not say.
func TestAnAssetThatCannotBeLookedForIsNotMissing(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open(t.TempDir())
	s := w.following(l, time.Now().Add(time.Hour))
	s.past.list[0].Manifest = digest.FromString("a version whose tree is not here")
	const file = "assets/app-00000001a.js"
	w.SetDown(true)
	if _, err := assetOf(t, s, file); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("got %v, want %v", err, registry.ErrUnavailable)
	}
	w.SetDown(false)
	eventually(t, "the registry says that it has it no more", func() bool {
		_, err := assetOf(t, s, file)
		return errors.Is(err, fs.ErrNotExist)
	})
}
