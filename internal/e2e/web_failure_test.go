package e2e

import (
	"net/http"
	"os"
	"testing"
)

// TestWhatCannotBeKnownIsNever404 takes the registry away from a site of which
// only the names are known, and goes through all the steps in which nginx looks
// for something else when a file is missing.
func TestWhatCannotBeKnownIsNever404(t *testing.T) {
	reg := startRegistry(t)
	pages := site{"index.html": []byte("start"), "about.html": []byte("about"), "404.html": []byte("missing"), "200.html": []byte("fallback"), "a.css": []byte("css")}
	pages.publish(t, reg.host, "my-app", "v1")
	site{"index.html": []byte("start")}.publish(t, reg.host, "plain", "v1")
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	for _, path := range []string{"my-app/v1", "plain/v1", ".regfs/hosts/v1--my-app"} {
		_, err := os.Stat(d.path(path)) // the names become known, and no content is fetched
		must(t, err)
	}
	reg.kill()
	referer := "Referer: " + web.url + "/my-app/v1/"
	for _, r := range []webRequest{
		{path: "/my-app/v1/", status: 503},
		{path: "/my-app/v1/a.css", status: 503},
		{path: "/my-app/v1/about", status: 503},
		{path: "/my-app/v1/missing.js", status: 503},
		{path: "/my-app/v1/users/7", header: goesTo, status: 503},
		{path: "/plain/v1/missing.js", status: 404},
		{path: "/plain/v1/users/7", header: goesTo, status: 404},
		{path: "/other/v1/", status: 503},
		{path: "/my-app/v2/", status: 503},
	} {
		answer := askServer(t, web.url, "", r.path, r)
		r.check(t, answer, place{})
		checkRetry(t, r.path, answer)
	}
	for _, r := range []webRequest{
		{path: "/", status: 503},
		{path: "/about", status: 503},
		{path: "/missing.js", status: 503},
	} {
		answer := askServer(t, web.url, "v1--my-app.sites.localhost", r.path, r)
		r.check(t, answer, place{})
		checkRetry(t, r.path, answer)
	}
	if got := askServer(t, web.url, "v9--my-app.sites.localhost", "/", webRequest{}); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a host that nobody knows: got %d, want 503", got.StatusCode)
	}
	// Whether /a.css is a repository cannot be known either, until it has been.
	if got := askServer(t, web.url, "", "/a.css", webRequest{header: referer}); got.StatusCode != http.StatusServiceUnavailable && got.StatusCode != http.StatusFound {
		t.Errorf("a part of a page, at the root: got %d, want 302 or 503", got.StatusCode)
	}
}

// checkRetry looks at what a 503 says.
func checkRetry(t *testing.T, path string, a webAnswer) {
	t.Helper()
	if a.StatusCode != http.StatusServiceUnavailable {
		return
	}
	if retry, cache := a.Header.Get("Retry-After"), a.Header.Get("Cache-Control"); retry != "1" || cache != "no-store" {
		t.Errorf("%s: got Retry-After %q, Cache-Control %q", path, retry, cache)
	}
}

// TestAMountThatIsAwayIsNever404 asks nginx before there is a mount, after one
// has ended, and after one has died.
func TestAMountThatIsAwayIsNever404(t *testing.T) {
	reg := startRegistry(t)
	site{"index.html": []byte("start"), "404.html": []byte("missing")}.publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	away := func(why string, cached bool) {
		t.Helper()
		for _, host := range []string{"", "v1--my-app.sites.localhost"} {
			for _, path := range []string{"/", "/my-app/v1/", "/my-app/v1", "/missing.js", "/users/7"} {
				answer := askServer(t, web.url, host, path, webRequest{header: goesTo})
				if answer.StatusCode == http.StatusOK && cached && answer.body == "start" {
					continue
				}
				if answer.StatusCode != http.StatusServiceUnavailable {
					t.Errorf("%s: %s%s: got %d, want 503", why, host, path, answer.StatusCode)
				}
				checkRetry(t, path, answer)
			}
		}
	}
	fetchOK(t, web.url+"/my-app/v1/")
	d.stop()
	away("after the end of the mount", false)
	d.launch(t)
	fetchOK(t, web.url+"/my-app/v1/")
	d.kill()
	away("after the death of the daemon", true) // what it has shown, the kernel may go on showing
}
