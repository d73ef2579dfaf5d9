package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestSitesAreServedAsTheirAuthorsExpect asks nginx on a real mount for all that
// authors of static sites rely on: below the name of the site, on a host of its
// own and, for what can be written down by hand, from a plain folder with a
// configuration made for that one site.
func TestSitesAreServedAsTheirAuthorsExpect(t *testing.T) {
	w := startWeb(t)
	asked := 0
	for _, r := range webRequests {
		for _, place := range w.places(r) {
			asked++
			t.Run(fmt.Sprintf("%s %s%s", place.how, place.prefix, r.path), func(t *testing.T) { r.check(t, w.ask(t, place, r), place) })
		}
		if s := w.sites[r.site]; s.oracle != "" && !r.unlike {
			t.Run("like a plain folder: "+r.site+r.path, func(t *testing.T) { w.compareWithFolder(t, r) })
		}
	}
	if asked < 120 {
		t.Errorf("asked %d times, want 120 at least", asked)
	}
	t.Logf("asked %d times", asked)
}

// webRequest is a request, with its path as it is below the site, and what the
// answer has to be.
type webRequest struct {
	site   string
	path   string
	header string // lines "Name: value"; "" is what a script or image sends
	method string // "" is GET

	status int
	answer string // lines of headers; "Name:" is one that must not be there; PREFIX is where the site is
	body   string // "" is not compared, unless none is expected
	tags   bool   // only for tags: a digest is kept for ever
	unlike bool   // no plain folder answers so
}

const (
	goesTo    = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
	fresh     = "Cache-Control: no-cache"
	forEver   = "Cache-Control: public, max-age=31536000, immutable"
	isHTML    = "Content-Type: text/html; charset=utf-8"
	noDate    = "Last-Modified:"
	anyScript = "Accept: */*"
)

// webSite is a site of these tests.
type webSite struct {
	files  site
	flags  []string
	repo   string
	tag    string
	label  string
	oracle string // what somebody would write by hand into a server of nginx; "" if nobody can
}

var webSites = map[string]webSite{
	"docs": {repo: "team/docs", tag: "v3.1", label: "v3-1--team--docs", oracle: `
		error_page 404 /404.html;
		location / { try_files $uri $uri.html $uri/ =404; }
		location ~ /\.(?!well-known) { return 404; }`, files: site{
		"index.html":               []byte("docs start"),
		"404.html":                 []byte("docs: nothing here"),
		"about.html":               []byte("docs about"),
		"blog.html":                []byte("docs blog"),
		"a b/ü %.html":             []byte("docs escaped"),
		"odd/x.txt":                []byte("x"),
		"odd.html/x.txt":           []byte("x"),
		"v1.2/x.txt":               []byte("x"),
		"v1.2.html":                []byte("docs 1.2"),
		"LICENSE":                  []byte("free"),
		"blog/post.html":           []byte("docs post"),
		"guide/index.html":         []byte("docs guide"),
		"release-1.2.html":         []byte("docs release"),
		"a b/ü?#.txt":              []byte("names are bytes"),
		"empty.txt":                {},
		"img/logo.svg":             []byte("<svg/>"),
		".well-known/security.txt": []byte("Contact: mailto:a@example.com"),
		".hidden":                  []byte("hidden"),
		".git/config":              []byte("hidden"),
		"assets/app.3f2a1b9c.js":   []byte("1234567890"),
		"assets/app-BkY3d8Xz.css":  []byte("css"),
		"assets/app.js":            []byte("1234567890"),
		"assets/photo-20240131.js": []byte("a date is no hash"),
		"assets/decade.js":         []byte("a word is no hash"),
		"x.mjs":                    []byte("export {}"),
		"x.webmanifest":            []byte("{}"),
		"x.map":                    []byte("{}"),
		"x.wasm":                   []byte("\x00asm"),
		"x.avif":                   []byte("avif"),
		"x.woff2":                  []byte("woff2"),
		"x.ttf":                    []byte("ttf"),
		"x.md":                     []byte("# x"),
		"x.wav":                    []byte("RIFF"),
	}},
	"spa": {repo: "my-spa", tag: "v1", label: "v1--my-spa", flags: []string{"--spa"}, oracle: `
		location / { try_files $uri $uri/ $wants; }
		location = /none { return 404; }`, files: site{
		"index.html":    []byte("spa start"),
		"app.js":        []byte("route()"),
		"sub/page.html": []byte("spa page"),
	}},
	"both": {repo: "a/b/c/d/e/f/g", tag: "latest", label: "latest--a--b--c--d--e--f--g", files: site{
		"index.html": []byte("both start"),
		"200.html":   []byte("both fallback"),
		"404.html":   []byte("both missing"),
	}},
	"plain": {repo: "my-app", tag: "Feature_X", label: "feature-x-my-app-jsnhfjmq6lj57ftg", files: site{
		"index.html": []byte("plain start"),
		"style.css":  []byte("plain style"),
		"dir/f.txt":  []byte("f"),
	}},
}

var webRequests = []webRequest{
	// What is there.
	{site: "docs", path: "/", status: 200, body: "docs start", tags: true, answer: lines(isHTML, fresh, noDate, "X-Content-Type-Options: nosniff", "Vary: Accept-Encoding", "Allow:")},
	{site: "docs", path: "/index.html", status: 200, body: "docs start"},
	{site: "docs", path: "/guide/", status: 200, body: "docs guide"},
	{site: "docs", path: "/guide", status: 301, answer: "Location: PREFIX/guide/"},
	{site: "docs", path: "/guide?a=b", status: 301, answer: "Location: PREFIX/guide/?a=b"},
	{site: "docs", path: "/a%20b/%C3%BC%3F%23.txt", status: 200, body: "names are bytes"},
	{site: "docs", path: "/a%20b", status: 301, answer: "Location: PREFIX/a%20b/"},
	{site: "docs", path: "/empty.txt", status: 200, answer: "Content-Length: 0"},
	{site: "docs", path: "/.well-known/security.txt", status: 200, body: "Contact: mailto:a@example.com"},
	{site: "docs", path: "/guide//", status: 200, body: "docs guide"},
	{site: "docs", path: "/x/../about.html", status: 200, body: "docs about"},
	{site: "plain", path: "/", status: 200, body: "plain start"},
	{site: "both", path: "/", status: 200, body: "both start"},
	{site: "spa", path: "/", header: goesTo, status: 200, body: "spa start"},

	// Clean URLs.
	{site: "docs", path: "/about", status: 200, body: "docs about", tags: true, answer: lines(isHTML, fresh, noDate)},
	{site: "docs", path: "/about", header: goesTo, status: 200, body: "docs about"},
	{site: "docs", path: "/about.html", status: 200, body: "docs about"},
	{site: "docs", path: "/about/", status: 301, answer: lines("Location: PREFIX/about"), unlike: true}, // as on Cloudflare Pages; its relative URLs would lead elsewhere
	{site: "docs", path: "/about/?a=b%20c", status: 301, answer: "Location: PREFIX/about?a=b%20c", unlike: true},
	{site: "docs", path: "/about/", tags: true, status: 301, answer: fresh, unlike: true},
	{site: "docs", path: "/about/index.html", status: 404, body: "docs: nothing here"},
	{site: "docs", path: "/about/x/", status: 404, body: "docs: nothing here"},
	{site: "docs", path: "/a%20b/%C3%BC%20%25/", status: 301, answer: "Location: PREFIX/a%20b/%C3%BC%20%25", unlike: true},
	{site: "docs", path: "/a%20b/%C3%BC%20%25", status: 200, body: "docs escaped"},
	{site: "docs", path: "/release-1.2", status: 200, body: "docs release"},
	{site: "docs", path: "/blog", status: 200, body: "docs blog", answer: lines("Location:", isHTML)},
	{site: "docs", path: "/blog", header: "Range: bytes=0-3", status: 206, body: "docs", answer: "Location:"},
	{site: "docs", path: "/blog", header: goesTo, method: "HEAD", status: 200, answer: lines("Location:", "Content-Length: 9")},
	{site: "docs", path: "/blog/post", status: 200, body: "docs post"},
	{site: "docs", path: "/blog/", status: 301, answer: "Location: PREFIX/blog", unlike: true}, // nginx says 403
	{site: "docs", path: "/v1.2", status: 200, body: "docs 1.2", answer: "Location:"},
	{site: "docs", path: "/odd", status: 301, answer: "Location: PREFIX/odd/", unlike: true}, // where is no page
	{site: "docs", path: "/odd/", status: 404, body: "docs: nothing here", unlike: true},
	{site: "docs", path: "/LICENSE", status: 200, body: "free", answer: "Content-Type: application/octet-stream"},
	{site: "docs", path: "/LICENSE", header: "Range: bytes=1-2", status: 206, body: "re"},
	{site: "spa", path: "/sub/page", header: goesTo, status: 200, body: "spa page", unlike: true},

	// What is missing, with a page for it.
	{site: "docs", path: "/missing", header: goesTo, status: 404, body: "docs: nothing here", answer: lines(isHTML, fresh, noDate, "ETag:", "X-Content-Type-Options: nosniff")},
	{site: "docs", path: "/missing.js", status: 404, body: "docs: nothing here", answer: lines(isHTML, fresh)},
	{site: "docs", path: "/missing/", status: 404, body: "docs: nothing here"},
	{site: "docs", path: "/guide/missing/deep/down.png", status: 404, body: "docs: nothing here"},
	{site: "docs", path: "/about.html/x", status: 404, body: "docs: nothing here"},
	{site: "docs", path: "/img/", status: 404, body: "docs: nothing here", unlike: true},
	{site: "docs", path: "/missing.0a1b2c3d.js", status: 404, body: "docs: nothing here", answer: fresh},
	{site: "docs", path: "/missing", header: "Range: bytes=0-3", status: 404, body: "docs: nothing here"},
	{site: "docs", path: "/missing", header: `If-None-Match: "x"`, status: 404, body: "docs: nothing here"},
	{site: "docs", path: "/missing", method: "HEAD", status: 404, answer: "Content-Length: 18"},
	{site: "docs", path: "/" + strings.Repeat("x", 300), status: 404, body: "docs: nothing here", unlike: true},
	{site: "docs", path: "/.hidden", status: 404, body: "docs: nothing here"},
	{site: "docs", path: "/.git/config", header: goesTo, status: 404, body: "docs: nothing here"},
	{site: "docs", path: "/.regfs/404.html", status: 404, body: "docs: nothing here", unlike: true},
	{site: "docs", path: "/.regfs/names/about.html", status: 404, body: "docs: nothing here", unlike: true},
	{site: "docs", path: "/404.html", status: 200, body: "docs: nothing here"},
	{site: "docs", path: "/404", status: 200, body: "docs: nothing here"},
	{site: "both", path: "/missing.js", status: 404, body: "both missing", answer: lines(isHTML, fresh)},
	{site: "both", path: "/missing", header: anyScript, status: 404, body: "both missing"},

	// What is missing, without a page for it.
	{site: "plain", path: "/missing", header: goesTo, status: 404, answer: lines(isHTML, fresh)},
	{site: "plain", path: "/missing.css", status: 404, answer: fresh},
	{site: "plain", path: "/dir/", status: 404},
	{site: "plain", path: "/dir", status: 301, answer: "Location: PREFIX/dir/"},

	// Single-page applications.
	{site: "spa", path: "/users/7", header: goesTo, status: 200, body: "spa start", tags: true, answer: lines(isHTML, fresh, noDate, "Vary: Accept, Accept-Encoding")},
	{site: "spa", path: "/users/7", header: goesTo, status: 200, body: "spa start", answer: "Vary: Accept, Accept-Encoding"},
	{site: "spa", path: "/users/7?tab=a.b", header: goesTo, status: 200, body: "spa start"},
	{site: "spa", path: "/users/", header: goesTo, status: 200, body: "spa start"},
	{site: "spa", path: "/sub/", header: goesTo, status: 200, body: "spa start", unlike: true}, // nginx says 403
	{site: "spa", path: "/users/7", header: "Accept: TEXT/HTML", status: 200, body: "spa start", unlike: true},
	{site: "spa", path: "/users/7", header: goesTo, method: "HEAD", status: 200, answer: "Content-Length: 9"},
	{site: "spa", path: "/users/7", header: anyScript, status: 404, answer: fresh},
	{site: "spa", path: "/users/7", status: 404},
	{site: "spa", path: "/app.js", header: goesTo, status: 200, body: "route()"},
	{site: "spa", path: "/missing.js", header: goesTo, status: 404, answer: fresh},
	{site: "spa", path: "/missing.png", header: "Accept: image/avif,*/*", status: 404},
	{site: "spa", path: "/.git/config", header: goesTo, status: 404, unlike: true},
	{site: "spa", path: "/.env", header: goesTo, status: 404},
	{site: "spa", path: "/.regfs/spa.html", header: goesTo, status: 404, unlike: true},
	{site: "both", path: "/users/7", header: goesTo, status: 200, body: "both fallback", answer: lines(isHTML, "Vary: Accept, Accept-Encoding")},
	{site: "both", path: "/a/b/c/d/e/f/g/h/i", header: goesTo, status: 200, body: "both fallback"},

	// Caching.
	{site: "docs", path: "/assets/app.3f2a1b9c.js", status: 200, answer: lines(forEver, noDate)},
	{site: "docs", path: "/assets/app-BkY3d8Xz.css", status: 200, answer: forEver},
	{site: "docs", path: "/assets/app.3f2a1b9c.js", header: "Range: bytes=1-2", status: 206, body: "23", answer: forEver},
	{site: "docs", path: "/assets/app.js", status: 200, tags: true, answer: fresh},
	{site: "docs", path: "/assets/photo-20240131.js", status: 200, tags: true, answer: fresh},
	{site: "docs", path: "/assets/decade.js", status: 200, tags: true, answer: fresh},
	{site: "docs", path: "/assets/", status: 404, tags: true, answer: fresh, unlike: true},

	// Ranges.
	{site: "docs", path: "/assets/app.js", header: "Range: bytes=2-4", status: 206, body: "345", answer: "Content-Range: bytes 2-4/10"},
	{site: "docs", path: "/assets/app.js", header: "Range: bytes=-2", status: 206, body: "90", answer: "Content-Range: bytes 8-9/10"},
	{site: "docs", path: "/assets/app.js", header: "Range: bytes=7-", status: 206, body: "890"},
	{site: "docs", path: "/assets/app.js", header: "Range: bytes=10-", status: 416, answer: "Content-Range: bytes */10"},
	{site: "docs", path: "/assets/app.js", header: "Range: bytes=0-0,2-2", status: 200, body: "1234567890", unlike: true},
	{site: "docs", path: "/about", header: "Range: bytes=0-3", status: 206, body: "docs"},

	// Types.
	{site: "docs", path: "/x.mjs", status: 200, answer: "Content-Type: text/javascript; charset=utf-8", unlike: true},
	{site: "docs", path: "/x.webmanifest", status: 200, answer: "Content-Type: application/manifest+json", unlike: true},
	{site: "docs", path: "/x.map", status: 200, answer: "Content-Type: application/json", unlike: true},
	{site: "docs", path: "/x.wasm", status: 200, answer: "Content-Type: application/wasm"},
	{site: "docs", path: "/x.avif", status: 200, answer: "Content-Type: image/avif"},
	{site: "docs", path: "/x.woff2", status: 200, answer: "Content-Type: font/woff2"},
	{site: "docs", path: "/x.ttf", status: 200, answer: "Content-Type: font/ttf", unlike: true},
	{site: "docs", path: "/x.md", status: 200, answer: "Content-Type: text/markdown; charset=utf-8", unlike: true},
	{site: "docs", path: "/x.wav", status: 200, answer: "Content-Type: audio/wav", unlike: true},
	{site: "docs", path: "/assets/app.js", status: 200, answer: "Content-Type: application/javascript; charset=utf-8"},
	{site: "docs", path: "/img/logo.svg", status: 200, answer: "Content-Type: image/svg+xml"},

	// Methods.
	{site: "docs", path: "/", method: "HEAD", status: 200, answer: "Content-Length: 10"},
	{site: "docs", path: "/", method: "POST", status: 405, answer: lines("Allow: GET, HEAD", fresh)},
	{site: "docs", path: "/missing", method: "POST", status: 405, unlike: true},
	{site: "docs", path: "/about.html", method: "DELETE", status: 405},
	{site: "docs", path: "/", method: "OPTIONS", status: 405},
}

func lines(l ...string) string { return strings.Join(l, "\n") }

// web is nginx on a mount of a registry that holds the sites, and nginx on plain
// folders.
type web struct {
	*nginx
	*daemon
	sites map[string]publishedSite
	plain string // URL of the oracle
}

type publishedSite struct {
	webSite
	digest string
}

func startWeb(t *testing.T) *web {
	t.Helper()
	reg := startRegistry(t)
	w := &web{sites: map[string]publishedSite{}}
	var servers strings.Builder
	for name, s := range webSites {
		dir := s.files.write(t)
		digest := upload(t, bundle(t, dir, s.tag, s.flags...), reg.host, s.repo, s.tag)
		w.sites[name] = publishedSite{s, digest}
		if s.oracle != "" {
			fmt.Fprintf(&servers, "server { listen ADDRESS; server_name %s; root %q; %s }\n", name, dir, s.oracle)
		}
	}
	w.daemon = mount(t, reg.host)
	w.nginx = startNginx(t, w.daemon.dir)
	address := freeAddress(t)
	w.plain = runNginx(t, address, plainConf+strings.ReplaceAll(servers.String(), "ADDRESS", address)).url
	return w
}

// plainConf is what all servers of plain folders have.
const plainConf = `
	absolute_redirect off;
	charset utf-8;
	charset_types text/css text/plain text/xml application/javascript;
	map "$http_accept $uri" $wants {
		default                  /none;
		"~text/html.*/[^/.]*$"   /index.html;
	}
`

// place is an address of a site.
type place struct {
	how    string
	host   string // "" for the server's own
	prefix string
}

// places are the addresses at which a request is made.
func (w *web) places(r webRequest) []place {
	s := w.sites[r.site]
	own := place{"host", s.label + ".sites.localhost", ""}
	all := []place{own, {"path", "", "/" + s.repo + "/" + s.tag}, {"reference", "", "/" + s.repo + ":" + s.tag}}
	if !r.tags {
		all = append(all, place{"digest", "", "/" + s.repo + "@" + s.digest})
	}
	return all
}

// webAnswer is an answer and its body.
type webAnswer struct {
	*http.Response
	body string
}

func (w *web) ask(t *testing.T, p place, r webRequest) webAnswer {
	t.Helper()
	return askServer(t, w.url, p.host, p.prefix+r.path, r)
}

// askServer sends a request exactly as it is written.
func askServer(t *testing.T, server, host, path string, r webRequest) webAnswer {
	t.Helper()
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), method, server, nil)
	must(t, err)
	req.URL.Opaque = path // is not cleaned
	if host != "" {
		req.Host = host
	}
	for line := range strings.SplitSeq(r.header, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			req.Header.Set(name, value)
		}
	}
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return webAnswer{resp, string(body)}
}

// check compares an answer with what it has to be.
func (r webRequest) check(t *testing.T, got webAnswer, p place) {
	t.Helper()
	if got.StatusCode != r.status {
		t.Errorf("got status %d, want %d: %.200q", got.StatusCode, r.status, got.body)
	}
	if r.body != "" && got.body != r.body {
		t.Errorf("got %.200q, want %q", got.body, r.body)
	}
	for line := range strings.SplitSeq(r.answer, "\n") {
		name, want, _ := strings.Cut(line, ":")
		want = strings.ReplaceAll(strings.TrimSpace(want), "PREFIX", p.prefix)
		if value := strings.Join(got.Header.Values(name), " | "); name != "" && value != want {
			t.Errorf("got %s: %q, want %q", name, value, want)
		}
	}
	if p.how == "digest" && r.status < 300 && got.Header.Get("Cache-Control") != strings.TrimPrefix(forEver, "Cache-Control: ") {
		t.Errorf("got Cache-Control: %q for what a digest names", got.Header.Get("Cache-Control"))
	}
	if r.status >= 400 && r.status != http.StatusRequestedRangeNotSatisfiable && strings.Contains(got.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("status %d is immutable", r.status)
	}
}

// compareWithFolder compares the site on a host of its own with the same files in
// a plain folder.
func (w *web) compareWithFolder(t *testing.T, r webRequest) {
	t.Helper()
	ours := askServer(t, w.url, w.sites[r.site].label+".sites.localhost", r.path, r)
	plain := askServer(t, w.plain, r.site, r.path, r)
	if ours.StatusCode != plain.StatusCode {
		t.Errorf("got status %d, a plain folder %d", ours.StatusCode, plain.StatusCode)
	}
	names := []string{"Location", "Content-Range"}
	if r.body != "" {
		names = append(names, "Content-Type", "Content-Length")
		if ours.body != plain.body {
			t.Errorf("got %.200q, a plain folder %.200q", ours.body, plain.body)
		}
	}
	for _, name := range names {
		if a, b := ours.Header.Get(name), plain.Header.Get(name); a != b {
			t.Errorf("got %s: %q, a plain folder %q", name, a, b)
		}
	}
}
