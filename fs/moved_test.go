package fs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// movedSite has redirects of all kinds; those from one path are pages.
func movedSite() map[string]string {
	return map[string]string{
		"index.html": "start", "about.html": "about", "guide/index.html": "guide", "guide/a": "a", "bare/x": "x",
		"_redirects": `/old /new?a=1&b=2
/old.html /new
/guide/was/deep /guide/a 302
/guide/index.html /never
/about /never
/bare /guide/
/shown /about 200
/forced /about 301!
/many/* /about
/many/one /hidden
/out https://example.org/?a&b 308
/out/er /x
/loop /loop/
`,
	}
}

func TestRedirectsAreAlsoPages(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", movedSite())
	w.Publish("my-app", "v2", map[string]string{"index.html": "start"})
	site := filepath.Join(w.mount(w.newFS()), "my-app", "v1")
	for name, want := range map[string]string{
		"old/index.html":            "./../new?a=1&amp;b=2",
		"old.html":                  "./new",
		"guide/was/deep/index.html": "./../../../guide/a",
		"bare/index.html":           "./../guide/",
		"forced/index.html":         "./../about",
		"many/one/index.html":       "./../../about", // the rule before it is for it too
		"out/index.html":            "https://example.org/?a&amp;b",
		"out/er/index.html":         "./../../x",
		"index.html":                "",
		"guide/index.html":          "",
	} {
		page, err := os.ReadFile(filepath.Join(site, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Contains(string(page), `<meta http-equiv="refresh" content="0; url=`+want+`">`); got != (want != "") {
			t.Errorf("%s: got %q, want that it leads to %q", name, page, want)
		}
		info, err := os.Stat(filepath.Join(site, name))
		if err != nil || info.Size() != int64(len(page)) || info.Mode() != 0o444 {
			t.Errorf("%s: got %v, %v; want a file of %d bytes", name, info, err, len(page))
		}
	}
	for _, name := range []string{"about", "loop", "shown", "many/index.html", "many/two", "never", "new", "old/x", "old/index.html.gz", "_redirects"} {
		if _, err := os.Lstat(filepath.Join(site, name)); !os.IsNotExist(err) {
			t.Errorf("%s: got %v, want that it is not there", name, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(site, "../v2/old")); !os.IsNotExist(err) {
		t.Errorf("another version: got %v, want that it is not there", err)
	}
	for dir, want := range map[string]int{"": 4, "guide": 2, "old": 0, "guide/was": 0, "out": 0} {
		entries, err := os.ReadDir(filepath.Join(site, dir))
		if err != nil || len(entries) != want {
			t.Errorf("%q: got %v, %v; want %d entries", dir, entries, err, want)
		}
	}
}

// A page is the same file wherever it is, as equal files are.
func TestPagesForRedirectsKeepTheirIdentity(t *testing.T) {
	w := newWorld(t)
	files := movedSite()
	w.Publish("my-app", "v1", files)
	files["index.html"] = "another start"
	w.Publish("my-app", "v2", files)
	f := w.newFS()
	first, second := lookup(t, f, "my-app", "v1", "old", "index.html"), lookup(t, f, "my-app", "v2", "old", "index.html")
	if first.NodeId != second.NodeId || first.Attr != second.Attr {
		t.Errorf("got %+v and %+v, want the same", first, second)
	}
	if a, b := lookup(t, f, "my-app", "v1", "old"), lookup(t, f, "my-app", "v2", "old"); a.NodeId == b.NodeId {
		t.Error("two places have the same folder")
	}
	var out fuse.AttrOut
	if status := f.GetAttr(nil, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: first.NodeId}}, &out); status != fuse.OK || out.Attr != first.Attr {
		t.Errorf("got %v, %+v; want %+v", status, out.Attr, first.Attr)
	}
}
