package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"slices"
	"testing"
)

// bundled is two versions of a site as a bundler makes them: the script's name
// has a hash of its content in it, the page names the script.
func bundled() (before, after site) {
	before = site{
		"index.html":             []byte("<script src=assets/app-3f9a1c2b.js></script>\n"),
		"assets/app-3f9a1c2b.js": []byte("console.log('before')\n"),
		"assets/site.css":        []byte("h1 { color: teal }\n"),
		"assets/before.js":       []byte("// a name like any other\n"),
		"page-3f9a1c2b.html":     []byte("<h1>a page of before</h1>\n"),
	}
	after = site{
		"index.html":             []byte("<script src=assets/app-8e0d62a0.js></script>\n"),
		"assets/app-8e0d62a0.js": []byte("console.log('after')\n"),
		"assets/site.css":        before["assets/site.css"],
	}
	return before, after
}

// TestOpenTabsFindTheirAssets: a tag has moved, and a page that a browser has
// open still asks for the script of the version before. It is there through
// nginx, also after the daemon was killed, but in no listing; nothing else of
// that version is.
func TestOpenTabsFindTheirAssets(t *testing.T) {
	reg := startRegistry(t)
	before, after := bundled()
	before.publish(t, reg.host, "my-app", "live")
	d := mount(t, reg.host, quick, "--keep-assets=1h")
	web := startNginx(t, d.dir)
	wantFile(t, d.path("my-app/live/index.html"), before["index.html"])
	after.publish(t, reg.host, "my-app", "live")
	waitFor(t, d.path("my-app/live/index.html"), after["index.html"])

	check := func(when string) {
		t.Helper()
		const old = "assets/app-3f9a1c2b.js"
		if got := fetchOK(t, web.url+"/my-app/live/"+old); !bytes.Equal(got, before[old]) {
			t.Errorf("%s, the script of before: got %q, want %q", when, got, before[old])
		}
		wantFile(t, d.path("my-app:live", old), before[old])
		for _, name := range []string{"assets/before.js", "page-3f9a1c2b.html", "assets/app-deadbee5.js"} {
			if got := fetch(t, web.url+"/my-app/live/"+name).status; got != http.StatusNotFound {
				t.Errorf("%s, %s: got %d, want 404", when, name, got)
			}
		}
		if got, want := entries(t, d.path("my-app/live/assets")), []string{"app-8e0d62a0.js", "site.css"}; !slices.Equal(got, want) {
			t.Errorf("%s, the listing: got %q, want %q", when, got, want)
		}
	}
	check("after the move")
	d.waitUntilKept(t, "past")
	d.kill()
	d.launch(t)
	check("after the daemon was killed and started")
}

// TestOldAssetsGoInTime: what the kernel was told of them ends when they do.
func TestOldAssetsGoInTime(t *testing.T) {
	reg := startRegistry(t)
	before, after := bundled()
	before.publish(t, reg.host, "my-app", "live")
	d := mount(t, reg.host, quick, "--keep-assets=2s")
	old := d.path("my-app/live/assets/app-3f9a1c2b.js")
	wantFile(t, old, before["assets/app-3f9a1c2b.js"])
	after.publish(t, reg.host, "my-app", "live")
	waitFor(t, d.path("my-app/live/index.html"), after["index.html"])
	found := 0
	if !eventually(startLimit, func() bool {
		got, err := os.ReadFile(old)
		if err == nil && !bytes.Equal(got, before["assets/app-3f9a1c2b.js"]) {
			t.Errorf("got %q", got)
		}
		if err == nil {
			found++
		}
		return errors.Is(err, os.ErrNotExist)
	}) {
		t.Errorf("the script of before is still there after %v, want 2 s", startLimit)
	}
	t.Logf("it was found %d times before it went", found)
}

// TestNothingOldIsKeptUnlessAsked: without the flag a version is what it is.
func TestNothingOldIsKeptUnlessAsked(t *testing.T) {
	reg := startRegistry(t)
	before, after := bundled()
	before.publish(t, reg.host, "my-app", "live")
	d := mount(t, reg.host, quick)
	wantFile(t, d.path("my-app/live/index.html"), before["index.html"])
	after.publish(t, reg.host, "my-app", "live")
	waitFor(t, d.path("my-app/live/index.html"), after["index.html"])
	if _, err := os.Stat(d.path("my-app/live/assets/app-3f9a1c2b.js")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
}
