package e2e

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/regfs/regfs/internal/hostname"
)

// ruledSite says in its files what others say on Netlify and Cloudflare Pages.
func ruledSite() site {
	return site{
		"index.html":         []byte("<h1>start</h1>\n"),
		"about.html":         []byte("<h1>about</h1>\n"),
		"guide/index.html":   []byte("<h1>guide</h1>\n"),
		"app/index.html":     []byte("<h1>app</h1>\n"),
		"de/404.html":        []byte("<h1>nicht da</h1>\n"),
		"404.html":           []byte("<h1>not here</h1>\n"),
		"posts/a b.html":     []byte("<h1>a b</h1>\n"),
		"posts/50%.html":     []byte("<h1>half</h1>\n"),
		"assets/a.0a1b2c.js": []byte("js\n"),
		"private/index.html": []byte("<h1>private</h1>\n"),
		"private/x.html":     []byte("<h1>private</h1>\n"),
		"_redirects": []byte(`# as it grew over the years
/home               /
/info               /about                302
/handbook/*         /guide/:splat
/blog/:year/:slug   /posts/:year-:slug    308
/out                https://example.org/somewhere?x=1   303
/out/*              https://example.org/:splat          307
/search/:q          /?q=:q                302
/private/*          /about                302!
/about              /elsewhere
/p/:name            /posts/:name.html     200
/app/*              /app/index.html       200
/de/*               /de/404.html          404
/closed             /nothing              404
/gone/*             /nothing.html         200
/loop               /loop/
/caf%C3%A9          /thé
/r/*                /:splat
`),
		"_headers": []byte(`/*
  X-Frame-Options: DENY
  Content-Security-Policy: default-src 'self'
/assets/*
  Cache-Control: public, max-age=60
  Access-Control-Allow-Origin: *
/guide/*
  X-Robots-Tag: noindex
/guide
  X-Robots-Tag: noarchive
  X-Unheard-Of: sent by nobody
/private/*
  Cache-Control: no-store
`),
	}
}

// ruled is a request to a site with rules and what it gets. Paths, and targets
// that begin with a slash, are the site's.
type ruled struct {
	path   string
	status int
	want   string // the target of a redirect, or the body
	header string // one more, "Name: value"; "Name:" for none
}

var ruledRequests = []ruled{
	// Files are served as without rules.
	{"/", 200, "<h1>start</h1>\n", "X-Frame-Options: DENY"},
	{"/index.html", 200, "<h1>start</h1>\n", "Content-Security-Policy: default-src 'self'"},
	{"/about", 200, "<h1>about</h1>\n", "X-Frame-Options: DENY"},
	{"/about.html", 200, "<h1>about</h1>\n", "Cache-Control: no-cache"},
	{"/guide/", 200, "<h1>guide</h1>\n", "X-Robots-Tag: noindex, noarchive"},
	{"/guide", 301, "/guide/", ""},
	{"/posts/a%20b", 200, "<h1>a b</h1>\n", ""},
	{"/assets/a.0a1b2c.js", 200, "js\n", "Cache-Control: public, max-age=60"},
	{"/assets/a.0a1b2c.js", 200, "js\n", "Access-Control-Allow-Origin: *"},
	{"/assets/missing.js", 404, "", "Cache-Control: no-cache"},
	{"/guide/", 200, "", "X-Unheard-Of:"},
	{"/nothing", 404, "<h1>not here</h1>\n", "X-Frame-Options: DENY"},
	{"/nothing", 404, "", "Cache-Control: no-cache"},
	{"/_redirects", 404, "<h1>not here</h1>\n", ""},
	{"/_headers", 404, "<h1>not here</h1>\n", ""},

	// There.
	{"/home", 301, "/", "Cache-Control: no-cache"},
	{"/home/", 301, "/", ""},
	{"/home?x=1&y=%20", 301, "/?x=1&y=%20", ""},
	{"/info/..//home", 301, "/", ""},
	{"/x/../home", 301, "/", ""},
	{"/ho%6De", 301, "/", ""},
	{"/info", 302, "/about", ""},
	{"/handbook/chapter/1", 301, "/guide/chapter/1", ""},
	{"/handbook", 301, "/guide/", ""},
	{"/blog/2024/x", 308, "/posts/2024-x", ""},
	{"/blog/2024", 404, "", ""},
	{"/out", 303, "https://example.org/somewhere?x=1", ""},
	{"/out?y=2", 303, "https://example.org/somewhere?x=1", ""},
	{"/out/a/b/?y=2", 307, "https://example.org/a/b/?y=2", ""},
	{"/search/a%26b%20c", 302, "/?q=a%26b+c", ""},
	{"/caf%C3%A9", 301, "/th%C3%A9", ""},
	{"/private/x.html", 302, "/about", ""},
	{"/private/nothing", 302, "/about", "Cache-Control: no-cache"},
	{"/loop", 404, "", ""},

	// Another page.
	{"/p/a%20b", 200, "<h1>a b</h1>\n", "X-Frame-Options: DENY"},
	{"/p/50%25", 200, "<h1>half</h1>\n", ""},
	{"/p/..%2fx", 404, "", ""},
	{"/app/any/where?x=1", 200, "<h1>app</h1>\n", "Content-Type: text/html; charset=utf-8"},
	{"/app/", 200, "<h1>app</h1>\n", ""},
	{"/de/irgendwas", 404, "<h1>nicht da</h1>\n", "Cache-Control: no-cache"},
	{"/de/", 404, "<h1>nicht da</h1>\n", ""},
	{"/closed", 404, "<h1>not here</h1>\n", ""},
	{"/gone/x", 404, "<h1>not here</h1>\n", ""},

	// What strangers write leads nowhere else, and makes no header.
	{"/r//evil.example/", 301, "/evil.example/", ""},
	{"/r/%2f%2fevil.example", 301, "/evil.example", ""},
	{"/r/%5cevil.example", 301, "/%5Cevil.example", ""},
	{"/r/a%0d%0aSet-Cookie:%20x=y", 301, "/a%0D%0ASet-Cookie:%20x=y", "Set-Cookie:"},
	{"/p/a%0d%0aSet-Cookie:%20x=y", 404, "", "Set-Cookie:"},
	{"/r/a?%0d%0aSet-Cookie:%20x=y", 301, "/a?%0d%0aSet-Cookie:%20x=y", "Set-Cookie:"},
	{"/-rules", 404, "", ""},
	{"/-shown/about.html", 404, "", ""},
}

func TestRulesOfSitesAreHonoured(t *testing.T) {
	reg := startRegistry(t)
	digest := ruledSite().publish(t, reg.host, "team/docs", "v1")
	plain := site{"index.html": []byte("<h1>plain</h1>\n")}
	plain.publish(t, reg.host, "team/docs", "v2")
	own := freeAddress(t)
	m := mount(t, reg.host, quick, "--listen="+own)
	n := startNginxWithRules(t, m.dir, own)

	const below = "/team/docs/v1"
	host := hostname.Label("team/docs", "v1") + ".sites.localhost"
	for _, r := range ruledRequests {
		t.Run("path"+r.path, func(t *testing.T) { r.check(t, n, below, "") })
		t.Run("host"+r.path, func(t *testing.T) { r.check(t, n, "", host) })
	}
	t.Run("no header is a way around a rule", func(t *testing.T) {
		for _, header := range []string{"Range: 204/", "Range: bytes=0-1", "X-Regfs-Place: /x", "X-Original-URI: /x", "X-Regfs-Status: 200"} {
			a := askServer(t, n.url, host, "/private/index.html", webRequest{header: header})
			if a.StatusCode != http.StatusFound {
				t.Errorf("%s: got %d, want 302", header, a.StatusCode)
			}
		}
	})
	t.Run("another site has none of it", func(t *testing.T) {
		for _, name := range []string{"/home", "/handbook/x", "/out/x"} {
			if a := fetch(t, n.url+"/team/docs/v2"+name); a.status != http.StatusNotFound {
				t.Errorf("%s: got %d, want 404", name, a.status)
			}
		}
		if a := fetch(t, n.url+"/team/docs/v2/"); a.header.Get("X-Frame-Options") != "" {
			t.Errorf("got %v, want no header of v1", a.header)
		}
	})
	t.Run("no detour is one around a rule", func(t *testing.T) {
		for _, name := range []string{"//team//docs/v1/private/x.html", "/x/../team/docs/v1/private/x.html", "/team%2fdocs/v1/%70rivate/x.html"} {
			a := askServer(t, n.url, "", "/."+name, webRequest{})
			if got := a.Header.Get("Location"); a.StatusCode != http.StatusFound || got != below+"/about" {
				t.Errorf("%s: got %d to %q, want 302 to %q", name, a.StatusCode, got, below+"/about")
			}
		}
	})
	t.Run("HEAD is told the same", func(t *testing.T) {
		for name, want := range map[string]int{"/home": 301, "/about": 200, "/app/x": 200, "/de/x": 404} {
			a := askServer(t, n.url, host, name, webRequest{method: http.MethodHead})
			if a.StatusCode != want || a.body != "" {
				t.Errorf("%s: got %d %q, want %d and no body", name, a.StatusCode, a.body, want)
			}
		}
	})
	t.Run("no range is lost", func(t *testing.T) {
		a := fetch(t, n.url+below+"/about.html", "Range", "bytes=0-3")
		if a.status != http.StatusPartialContent || string(a.body) != "<h1>" || a.header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("got %d %q %v", a.status, a.body, a.header)
		}
	})
	t.Run("nothing changed is confirmed", func(t *testing.T) {
		tag := fetch(t, n.url+below+"/about.html").header.Get("ETag")
		if a := fetch(t, n.url+below+"/about.html", "If-None-Match", tag); a.status != http.StatusNotModified {
			t.Errorf("got %d, want 304", a.status)
		}
	})
	t.Run("a version by its digest leads within itself", func(t *testing.T) {
		fixed := "/team/docs@" + digest
		a := fetch(t, n.url+fixed+"/home")
		if got := a.header.Get("Location"); a.status != http.StatusMovedPermanently || got != fixed+"/" {
			t.Errorf("got %d to %q, want 301 to %q", a.status, got, fixed+"/")
		}
		if got := fetch(t, n.url+fixed+"/info").header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("got Cache-Control %q of a 302, want no-cache", got)
		}
	})
	t.Run("a moved tag has the rules of its new version", func(t *testing.T) {
		plain.publish(t, reg.host, "team/docs", "v1")
		gone := func() bool { return fetch(t, n.url+below+"/home").status == http.StatusNotFound }
		if !eventually(startLimit, gone) {
			t.Error("a rule outlived its version")
		}
		if a := fetch(t, n.url+below+"/"); string(a.body) != "<h1>plain</h1>\n" || a.header.Get("X-Frame-Options") != "" {
			t.Errorf("got %q and %v, want the plain page", a.body, a.header)
		}
		ruledSite().publish(t, reg.host, "team/docs", "v1")
		if !eventually(startLimit, func() bool { return !gone() }) {
			t.Error("a rule did not come with its version")
		}
	})
	t.Run("pages come without rules only where somebody wrote so", func(t *testing.T) {
		page := "/team/docs/v1/about.html"
		if a := fetch(t, startNginxWithRules(t, m.dir, freeAddress(t)).url+page); a.status != http.StatusServiceUnavailable {
			t.Errorf("got %d, want 503 without an answer", a.status)
		}
		rules, err := os.ReadFile(filepath.Join(root, "nginx/rules.conf"))
		must(t, err)
		lax := string(rules)
		for _, line := range []string{"proxy_intercept_errors on;", "error_page 500 502 503 504 = @no-rules;"} {
			substitute(t, lax, "#     "+line, "") // as the file says
			lax = substitute(t, lax, "    proxy_pass http://regfs/rules;", "    proxy_pass http://regfs/rules;\n    "+line)
		}
		for _, answer := range []int{0, http.StatusServiceUnavailable, http.StatusInternalServerError} {
			own := freeAddress(t)
			if answer != 0 {
				broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(answer) }))
				defer broken.Close()
				own = strings.TrimPrefix(broken.URL, "http://")
			}
			address, servers := regfsConf(t, m.dir)
			lenient := runNginx(t, address, substitute(t, servers, "server 127.0.0.1:9464;", "server "+own+";"), lax)
			if a := fetch(t, lenient.url+page); a.status != http.StatusOK || a.header.Get("X-Frame-Options") != "" {
				t.Errorf("the daemon says %d: got %d %v, want the page without rules", answer, a.status, a.header)
			}
		}
	})
	t.Run("a missing daemon is no missing page", func(t *testing.T) {
		fetchOK(t, n.url+below+"/about.html")
		m.unmountCleanly(t)
		a := fetch(t, n.url+below+"/about.html")
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("got %d %v, want 503 and when to come back", a.status, a.header)
		}
	})
}

func (r ruled) check(t *testing.T, n *nginx, below, host string) {
	t.Helper()
	a := askServer(t, n.url, host, below+r.path, webRequest{})
	got, want := a.body, r.want
	switch location := a.Header.Get("Location"); {
	case location != "":
		got = location
		if strings.HasPrefix(want, "/") {
			want = below + want
		}
	case want == "":
		got = ""
	}
	if a.StatusCode != r.status || got != want {
		t.Errorf("got %d %q, want %d %q", a.StatusCode, got, r.status, want)
	}
	if name, value, ok := strings.Cut(r.header, ":"); ok {
		if got := strings.Join(a.Header.Values(name), " | "); got != strings.TrimSpace(value) {
			t.Errorf("got %s: %q, want %q", name, got, strings.TrimSpace(value))
		}
	}
}

// The bundle that the tests above serve holds none of the files with rules.
func TestFilesWithRulesAreNotPacked(t *testing.T) {
	reg := startRegistry(t)
	ruledSite().publish(t, reg.host, "my-app", "v1")
	m := mount(t, reg.host)
	for _, name := range list(t, m.path("my-app/v1")) {
		if path.Base(name) == "_redirects" || path.Base(name) == "_headers" {
			t.Errorf("%s is in the mount", name)
		}
	}
	if len(list(t, m.path("my-app/v1"))) < len(ruledSite())-2 {
		t.Error(fmt.Sprint("files are missing: ", list(t, m.path("my-app/v1"))))
	}
}

// TestSPAIsSpelledAsElsewhere needs no rules.conf.
func TestSPAIsSpelledAsElsewhere(t *testing.T) {
	reg := startRegistry(t)
	site{"index.html": []byte("<h1>app</h1>\n"), "_redirects": []byte("/*  /index.html  200\n")}.publish(t, reg.host, "my-app", "v1")
	n := startNginx(t, mount(t, reg.host).dir)
	for _, c := range []struct {
		path, accept string
		status       int
	}{
		{"/users/7", "text/html,*/*", http.StatusOK},
		{"/users/7.js", "*/*", http.StatusNotFound},
		{"/_redirects", "*/*", http.StatusNotFound},
	} {
		a := askServer(t, n.url, "", "/my-app/v1"+c.path, webRequest{header: "Accept: " + c.accept})
		if a.StatusCode != c.status || a.StatusCode == http.StatusOK && a.body != "<h1>app</h1>\n" {
			t.Errorf("%s: got %d %q, want %d", c.path, a.StatusCode, a.body, c.status)
		}
	}
}

// TestRedirectsArePagesWithoutRules follows a page as a browser would.
func TestRedirectsArePagesWithoutRules(t *testing.T) {
	reg := startRegistry(t)
	ruledSite().publish(t, reg.host, "team/docs", "v1")
	n := startNginx(t, mount(t, reg.host).dir)
	const below = "/team/docs/v1"
	host := hostname.Label("team/docs", "v1") + ".sites.localhost"
	for from, want := range map[string]string{
		"/home":           "/",
		"/home/":          "/",
		"/info":           "/about",
		"/out":            "https://example.org/somewhere?x=1",
		"/caf%C3%A9":      "/th%C3%A9",
		"/about":          "", // the site has it
		"/private/x.html": "",
		"/handbook/x":     "404",
		"/handbook":       "404",
		"/p/a%20b":        "404",
		"/app/x":          "404",
		"/loop":           "404",
		"/_redirects":     "404",
		"/_headers":       "404",
	} {
		for _, p := range []struct{ below, host string }{{below, ""}, {"", host}} {
			got := followPage(t, n.url, p.host, p.below+from)
			to := want
			if strings.HasPrefix(want, "/") {
				to = p.below + want
			}
			if got != to {
				t.Errorf("%s%s: got %q, want %q", p.below, from, got, to)
			}
		}
	}
}

var refresh = regexp.MustCompile(`<meta http-equiv="refresh" content="0; url=([^"]*)">`)

// followPage gives where a page that stands in for a redirect leads, "" if the
// answer is another page, and else its status.
func followPage(t *testing.T, server, host, from string) string {
	t.Helper()
	a := askServer(t, server, host, from, webRequest{})
	if location := a.Header.Get("Location"); a.StatusCode == http.StatusMovedPermanently && location == from+"/" {
		from = location // a folder's
		a = askServer(t, server, host, from, webRequest{})
	}
	if a.StatusCode != http.StatusOK {
		return fmt.Sprint(a.StatusCode)
	}
	match := refresh.FindStringSubmatch(a.body)
	if match == nil {
		return ""
	}
	if got, want := a.Header.Get("Content-Type"), "text/html; charset=utf-8"; got != want {
		t.Errorf("%s: got type %q, want %q", from, got, want)
	}
	base, err := url.Parse(from)
	must(t, err)
	to, err := base.Parse(html.UnescapeString(match[1]))
	must(t, err)
	return to.String()
}

// TestABrowserFollowsRedirects goes to a page that is elsewhere, in both ways in
// which a site can say so.
func TestABrowserFollowsRedirects(t *testing.T) {
	reg := startRegistry(t)
	site{
		"index.html":     []byte("<!doctype html><link rel=icon href=data:,><title>start</title><h1>start</h1>"),
		"new/index.html": []byte("<!doctype html><link rel=icon href=data:,><title>new</title><h1 id=new>new</h1>"),
		"_redirects":     []byte("/old  /new/#there\n/older/place  /new/  302\n"),
		"_headers":       []byte("/*\n  Content-Security-Policy: script-src 'none'\n"),
	}.publish(t, reg.host, "my-app", "v1")
	own := freeAddress(t)
	m := mount(t, reg.host, "--listen="+own)
	b := startBrowser(t)
	for _, n := range []*nginx{startNginx(t, m.dir), startNginxWithRules(t, m.dir, own)} {
		for from, want := range map[string]string{"/old": "/new/#there", "/older/place": "/new/"} {
			b.do(chromedp.Navigate(n.url+"/my-app/v1"+from), chromedp.WaitVisible(chromedp.CSS("h1#new")))
			if got := ask(b, chromedp.Location()); got != n.url+"/my-app/v1"+want {
				t.Errorf("%s%s led to %s, want %s", n.url, from, got, want)
			}
		}
	}
}
