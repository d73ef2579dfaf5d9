package fs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/bundle"
)

// exists tells whether a path is there; anything but that and its absence fails.
func exists(t *testing.T, f *FS, path string) bool {
	t.Helper()
	out := fuse.EntryOut{NodeId: uint64(rootID)}
	for name := range strings.SplitSeq(path, "/") {
		in := fuse.InHeader{NodeId: out.NodeId}
		if status := f.Lookup(nil, &in, name, &out); status != fuse.OK {
			t.Fatalf("%s: %q: got %v", path, name, status)
		}
		if out.NodeId == 0 {
			return false
		}
	}
	return true
}

func TestWhatASiteWantsAppearsAsFiles(t *testing.T) {
	w := newWorld(t)
	page := map[string]string{"index.html": "start"}
	w.Publish("plain", "v1", page)
	w.PublishAs("spa", bundle.Options{Version: "v1", SPA: new(true)}, page)
	w.PublishAs("spa-without-page", bundle.Options{Version: "v1", SPA: new(true)}, map[string]string{"x": "x"})
	w.PublishAs("ruled", bundle.Options{Version: "v1"}, map[string]string{"index.html": "start", "_redirects": "/a /b\n"})
	w.PublishAs("headed", bundle.Options{Version: "v1"}, map[string]string{"index.html": "start", "_headers": "/*\n  X-Robots-Tag: none\n"})
	w.Publish("pages", "v1", map[string]string{"index.html": "start", "200.html": "fallback", "404.html": "missing", "d/e": "x"})
	f := w.newFS()
	for path, want := range map[string]bool{
		"plain/v1/.regfs":                           true,
		"plain/v1/.regfs/spa.html":                  false,
		"plain/v1/.regfs/404.html":                  false,
		"plain/v1/.regfs/names/index.html":          true,
		"plain/v1/.regfs/names/index.html/x":        false,
		"plain/v1/.regfs/names/missing":             false,
		"plain/v1/.regfs/index.html":                false,
		"plain/v1/.regfs/no-rules":                  true,
		"plain/v1/.regfs/no-rules/x":                false,
		"plain/v1/.regfs/names/no-rules":            false,
		"ruled/v1/.regfs/no-rules":                  false,
		"headed/v1/.regfs/no-rules":                 false,
		".regfs/hosts/v1--plain/.regfs/no-rules":    true,
		".regfs/hosts/v1--ruled/.regfs/no-rules":    false,
		"spa/v1/.regfs/spa.html":                    true,
		"spa-without-page/v1/.regfs/spa.html":       false,
		"pages/v1/.regfs/spa.html":                  true,
		"pages/v1/.regfs/404.html":                  true,
		"pages/v1/.regfs/names/d/e":                 true,
		"pages/v1/d/.regfs":                         false,
		"pages/.regfs":                              false,
		".regfs/hosts/v1--pages/.regfs/404.html":    true,
		".regfs/hosts/v1--pages/404.html":           true,
		".regfs/hosts/v1--pages/.regfs/names/d/e/f": false,
		".regfs/hosts/v2--pages":                    false,
	} {
		if got := exists(t, f, path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	for derived, original := range map[string]string{
		"spa/v1/.regfs/spa.html":   "spa/v1/index.html",
		"pages/v1/.regfs/spa.html": "pages/v1/200.html",
		"pages/v1/.regfs/404.html": "pages/v1/404.html",
	} {
		got, want := lookup(t, f, strings.Split(derived, "/")...), lookup(t, f, strings.Split(original, "/")...)
		if got.NodeId != want.NodeId || got.Attr != want.Attr {
			t.Errorf("%s: got %+v, want that of %s, %+v", derived, got, original, want)
		}
	}
}

func TestDerivedFoldersAreNotListed(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"index.html": "start", "404.html": "missing"})
	site := filepath.Join(w.mount(w.newFS()), "my-app", "v1")
	for dir, want := range map[string]int{"": 2, ".regfs": 0, ".regfs/names": 0, ".regfs/no-rules": 0} {
		entries, err := os.ReadDir(filepath.Join(site, dir))
		if err != nil || len(entries) != want {
			t.Errorf("%q: got %v, %v; want %d entries", dir, entries, err, want)
		}
	}
	if got, err := os.ReadFile(filepath.Join(site, ".regfs/404.html")); string(got) != "missing" || err != nil {
		t.Errorf("the page for what is missing: got %q, %v", got, err)
	}
}

// TestNamesWaitForNoBytes asks for a file whose content cannot be had.
func TestNamesWaitForNoBytes(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"200.html": "fallback"})
	f := w.newFS()
	lookup(t, f, "my-app", "v1")
	w.SetDown(true)
	if !exists(t, f, "my-app/v1/.regfs/names/200.html") {
		t.Error("a name that is known is not told")
	}
	in, out := fuse.InHeader{NodeId: lookup(t, f, "my-app", "v1", ".regfs").NodeId}, fuse.EntryOut{}
	if status := f.Lookup(nil, &in, "spa.html", &out); status != fuse.EIO {
		t.Errorf("a page that cannot be had: got %v, want EIO", status)
	}
}
