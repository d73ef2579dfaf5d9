package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/regfs/regfs/internal/hostname"
)

// counted is a daemon's own address by a way on which questions are counted.
func counted(t *testing.T, own string) (address string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: own})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		to.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	return strings.TrimPrefix(proxy.URL, "http://"), asked
}

// TestOnlySitesWithRulesAreAskedFor counts the questions of nginx: one for each
// request to a site with rules, none for others, however they are named.
func TestOnlySitesWithRulesAreAskedFor(t *testing.T) {
	reg := startRelay(t, startRegistry(t).host)
	plain := site{"index.html": []byte("start\n"), "about.html": []byte("about\n"), "guide/index.html": []byte("guide\n"), "x@2x.png": []byte("png"), "film.mp4": []byte("film")}
	places := map[string]string{} // of the sites without rules, to what is before their paths
	for _, repo := range []string{"plain", "team/plain", "team/sub/plain", "a/b/c/plain"} {
		digest := plain.publish(t, reg.host, repo, "v1.0.0")
		places[repo] = "/" + repo + "/v1.0.0"
		places[repo+" by digest"] = "/" + repo + "@" + digest
		places[repo+" as reference"] = "/" + repo + ":v1.0.0"
		places[repo+" by alias"] = "/" + repo + "@1"
	}
	ruledSite().publish(t, reg.host, "team/docs", "v1")
	own := freeAddress(t)
	m := mount(t, reg.host, quick, "--listen="+own)
	address, asked := counted(t, own)
	n := startNginxWithRules(t, m.dir, address)

	host := hostname.Label("team/docs", "v1") + ".sites.localhost"
	for _, below := range []string{"", "/team/docs/v1"} {
		server := host
		if below != "" {
			server = ""
		}
		for _, name := range []string{"/", "/guide/", "/guide", "/about", "/about.html", "/about/", "/nothing", "/nothing/", "/app/x", "/de/x", "/gone/x", "/home", "/.hidden", "/assets/a.0a1b2c.js"} {
			for _, header := range []string{"", "Range: bytes=0-1"} {
				before := asked.Load()
				askServer(t, n.url, server, below+name, webRequest{header: header})
				if got := asked.Load() - before; got != 1 {
					t.Errorf("a site with rules: %s%s%s, %q: asked %d times, want once", server, below, name, header, got)
				}
			}
		}
	}

	all := func(t *testing.T, server, below string, want int32) {
		t.Helper()
		for name, status := range map[string]int{"/": 200, "/index.html": 200, "/about": 200, "/guide/": 200, "/guide": 301, "/about/": 301, "/x@2x.png": 200, "/film.mp4": 200, "/nothing": 404, "/.hidden": 404} {
			before := asked.Load()
			if a := askServer(t, n.url, server, below+name, webRequest{}); a.StatusCode != status {
				t.Errorf("%s%s: got %d, want %d", below, name, a.StatusCode, status)
			}
			if got := asked.Load() - before; got != want {
				t.Errorf("%s%s%s: asked %d times, want %d", server, below, name, got, want)
			}
		}
	}
	for name, below := range places {
		want := int32(0)
		if name == "a/b/c/plain" {
			want = 1 // more than three names
		}
		t.Run(name, func(t *testing.T) { all(t, "", below, want) })
	}
	t.Run("on its host", func(t *testing.T) { all(t, hostname.Label("a/b/c/plain", "v1.0.0")+".sites.localhost", "", 0) })
	t.Run("above all sites", func(t *testing.T) {
		for _, name := range []string{"/", "/.regfs/sites.json", "/favicon.ico"} {
			before := asked.Load()
			fetch(t, n.url+name)
			if got := asked.Load() - before; got != 0 {
				t.Errorf("%s: asked %d times, want never", name, got)
			}
		}
		if !strings.Contains(string(fetchOK(t, n.url+"/")), "<title>") {
			t.Error("the page of all sites is not served")
		}
	})
	t.Run("what is missing costs the registry nothing", func(t *testing.T) {
		mark := reg.mark()
		for _, name := range []string{"/nothing.js", "/nothing/", "/nothing", "/guide/nothing/", "/index.html/", "/film.mp4/"} {
			fetch(t, n.url+"/plain/v1.0.0"+name)
		}
		for _, r := range reg.since(mark, "") {
			if strings.Contains(r.path, ".html") || strings.Contains(r.path, ".js") {
				t.Errorf("the registry was asked for %s", r.path)
			}
		}
	})
	t.Run("a site that gets rules is asked for", func(t *testing.T) {
		ruledSite().publish(t, reg.host, "plain", "v1.0.0")
		if !eventually(startLimit, func() bool { return fetch(t, n.url+"/plain/v1.0.0/home").status == http.StatusMovedPermanently }) {
			t.Fatal("its rules do not come")
		}
		before := asked.Load()
		if a := fetch(t, n.url+"/plain/v1.0.0/about.html"); a.header.Get("X-Frame-Options") != "DENY" || asked.Load() == before {
			t.Errorf("got %v, asked %d times", a.header, asked.Load()-before)
		}
	})
}

// TestWhatIsNotKnownIsAskedFor has the mount fail where nginx looks whether a
// site has rules: it has to ask, and says 503 if nobody answers, never a page
// without its headers.
func TestWhatIsNotKnownIsAskedFor(t *testing.T) {
	reg := startRelay(t, startRegistry(t).host)
	ruledSite().publish(t, reg.host, "my-app", "v1")
	own := freeAddress(t)
	m := mount(t, reg.host, never, "--listen="+own)
	address, asked := counted(t, own)
	n := startNginxWithRules(t, m.dir, address)
	reg.set(fail)
	if a := fetch(t, n.url+"/my-app/v1/about.html"); a.status != http.StatusServiceUnavailable || asked.Load() != 1 {
		t.Errorf("the registry fails: got %d, asked %d times; want 503, once", a.status, asked.Load())
	}
	reg.set(pass)
	if !eventually(startLimit, func() bool { return fetch(t, n.url+"/my-app/v1/about.html").status == http.StatusOK }) {
		t.Fatal("the page does not come back")
	}
	if a := fetch(t, n.url+"/my-app/v1/about.html"); a.header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("got %v without its headers", a.header)
	}
}
