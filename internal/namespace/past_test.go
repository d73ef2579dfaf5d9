package namespace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/tree"
)

// openKeeping is open with KeepAssets.
func (w *world) openKeeping(dir string, keep time.Duration) (l *Live, end func()) {
	w.T.Helper()
	store, err := cache.Open(dir, 1<<30)
	if err != nil {
		w.T.Fatal(err)
	}
	l = Open(Options{Registry: w.Client, Store: store, Refresh: 100 * time.Millisecond, KeepAssets: keep})
	end = func() {
		l.Close()
		store.Close()
	}
	return l, end
}

// assetOf gives a file that is missing in what a tag names now.
func assetOf(l *Live, repo, tag, file string) (string, error) {
	e, err := l.Lookup(context.Background(), repo, tag)
	if err != nil {
		return "", err
	}
	dir, ok := e.Site.Tree.Walk(tree.Root, path.Dir(file), true)
	if path.Dir(file) == "." {
		dir, ok = tree.Root, true
	}
	if !ok {
		return "", fmt.Errorf("no folder %s", path.Dir(file))
	}
	a, err := e.Site.Asset(context.Background(), dir, path.Base(file))
	if err != nil {
		return "", err
	}
	data := make([]byte, a.Site.Tree.Size(a.Node))
	_, err = bytesOf{a.Site}.ReadAt(a.Node, data, 0)
	return string(data), ignoreEOF(err)
}

func ignoreEOF(err error) error {
	if err != nil && err.Error() == "EOF" {
		return nil
	}
	return err
}

func wantAsset(t *testing.T, l *Live, file, want string) {
	t.Helper()
	if got, err := assetOf(l, "app", "live", file); got != want || err != nil {
		t.Errorf("%s: got %.40q, %v; want %.40q", file, got, err, want)
	}
}

func wantNoAsset(t *testing.T, l *Live, file string, want error) {
	t.Helper()
	if got, err := assetOf(l, "app", "live", file); !errors.Is(err, want) {
		t.Errorf("%s: got %.40q, %v; want %v", file, got, err, want)
	}
}

func (w *world) move(l *Live, version string) {
	w.T.Helper()
	w.Publish("app", "live", map[string]string{
		"index.html":                            version,
		"old-3f9a1c2b.html":                     version,
		"assets/app-0000000" + version + "a.js": "script of " + version,
		"assets/plain-" + version + ".js":       "plain of " + version,
		"assets/same.css":                       "same",
	})
	eventually(w.T, "version "+version+" is shown", func() bool {
		got, _ := read(l, "app", "live", "index.html")
		return got == version
	})
}

// TestAssetsOfEarlierVersionsAreKept: pages that are open in a browser still ask
// for them, also after a restart.
func TestAssetsOfEarlierVersionsAreKept(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	l, end := w.openKeeping(dir, time.Hour)
	for _, version := range []string{"1", "2", "3"} {
		w.move(l, version)
	}
	check := func(l *Live) {
		t.Helper()
		wantAsset(t, l, "assets/app-00000001a.js", "script of 1")
		wantAsset(t, l, "assets/app-00000002a.js", "script of 2")
		wantNoAsset(t, l, "assets/app-00000009a.js", fs.ErrNotExist)
		wantNoAsset(t, l, "assets/plain-1.js", fs.ErrNotExist)
		wantNoAsset(t, l, "old-3f9a1c2b.html", fs.ErrNotExist)
		wantNoAsset(t, l, "app-00000001a.js", fs.ErrNotExist) // it was in another folder
	}
	check(l)
	e, err := l.Lookup(context.Background(), "app", "live")
	if err != nil {
		t.Fatal(err)
	}
	pinned, err := l.Lookup(context.Background(), "", "app@"+e.Site.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if pinned.Site.MayHaveAsset("app-00000001a.js") {
		t.Error("a site by digest has assets of others")
	}
	end()
	l, end = w.openKeeping(dir, time.Hour)
	w.SetDown(true)
	check(l)
	w.SetDown(false)
	end()
	l, end = w.openKeeping(dir, 0) // the flag was taken away
	wantNoAsset(t, l, "assets/app-00000001a.js", fs.ErrNotExist)
	end()
}

func TestAssetsAreKeptForTheTimeThatWasSaid(t *testing.T) {
	w := newWorld(t)
	l, end := w.openKeeping(t.TempDir(), time.Hour)
	defer end()
	w.move(l, "1")
	earliest := time.Now().Add(time.Hour)
	w.move(l, "2")
	s := lookup(t, l, "app", "live")
	dir, _ := s.Tree.Lookup(tree.Root, "assets")
	a, err := s.Asset(t.Context(), dir, "app-00000001a.js")
	if latest := time.Now().Add(time.Hour); err != nil || a.Till.Before(earliest) || a.Till.After(latest) {
		t.Errorf("got it till %v, %v; want between %v and %v", a.Till, err, earliest, latest)
	}
}

func TestAVersionIsRememberedOnceAndNotForEver(t *testing.T) {
	now := time.Unix(1000, 0)
	name := func(i int) digest.Digest { return digest.FromString(fmt.Sprint(i)) }
	var list []site.Past
	for i := range 3 * maxPast {
		list = remember(list, site.Past{Manifest: name(i), Till: now.Add(time.Hour)}, name(i+1), now)
	}
	if len(list) != maxPast || list[0].Manifest != name(3*maxPast-1) {
		t.Errorf("got %d, the first %s", len(list), list[0].Manifest)
	}
	list = nil
	for i := range 100 { // back and forth
		now = now.Add(time.Minute)
		list = remember(list, site.Past{Manifest: name(i % 2), Till: now.Add(time.Hour)}, name((i+1)%2), now)
	}
	if len(list) != 1 || list[0].Manifest != name(1) {
		t.Errorf("of two versions that take turns: got %v", list)
	}
	now = now.Add(2 * time.Hour)
	if list = remember(list, site.Past{Manifest: name(5), Till: now.Add(time.Hour)}, name(6), now); len(list) != 1 || list[0].Manifest != name(5) {
		t.Errorf("after their time: got %v", list)
	}
	if strings.Contains(fmt.Sprint(list), name(1).String()) {
		t.Error("what is too old is remembered")
	}
}
