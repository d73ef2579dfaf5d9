package e2e

import (
	"bytes"
	"net/http"
	"os"
	"testing"
)

// TestAliasesFollowVersions asks for the highest version that fits, and for the
// next one once it is pushed.
func TestAliasesFollowVersions(t *testing.T) {
	reg := startRegistry(t)
	page := func(text string) site { return site{"index.html": []byte("<h1>" + text + "</h1>\n")} }
	for _, v := range []string{"1.0.0", "v1.2.0", "v2.0.0-rc.1"} {
		page(v).publish(t, reg.host, "team/app", v)
	}
	d := mount(t, reg.host, quick)
	web := startNginx(t, d.dir)
	for path, want := range map[string]string{"/team/app@1/": "v1.2.0", "/team/app@1.0/": "1.0.0", "/team/app@latest/": "v1.2.0", "/team/app@2.0.0-rc/": "v2.0.0-rc.1"} {
		a := fetch(t, web.url+path)
		if !bytes.Equal(a.body, page(want)["index.html"]) || a.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: got %d %q, Cache-Control %q; want %s and no-cache", path, a.status, a.body, a.header.Get("Cache-Control"), want)
		}
	}
	if a := fetch(t, web.url+"/team/app@3/"); a.status != http.StatusNotFound {
		t.Errorf("no version fits: got %d, want 404", a.status)
	}
	page("v2.0.0").publish(t, reg.host, "team/app", "v2.0.0")
	waitFor(t, d.path("team/app@latest/index.html"), page("v2.0.0")["index.html"])
	waitFor(t, d.path("team/app@2/index.html"), page("v2.0.0")["index.html"])
	waitFor(t, d.path("team/app@1/index.html"), page("v1.2.0")["index.html"])

	reg.stop()
	d.waitUntilKept(t, "latest")
	d.unmountCleanly(t)
	d.launch(t)
	if got, err := os.ReadFile(d.path("team/app@latest/index.html")); err != nil || !bytes.Equal(got, page("v2.0.0")["index.html"]) {
		t.Errorf("without the registry, after a restart: got %q, %v", got, err)
	}
}
