package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// bundleJS is a script that compresses to about half, so that its gzip form is
// large enough to be a file of its own in the content store.
func bundleJS(seed uint64) []byte {
	return []byte("window.bundle = '" + hex.EncodeToString(noise(seed, 300_000)) + "'\n")
}

// gunzip is what the gzip form data holds.
func gunzip(t testing.TB, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	must(t, err)
	plain, err := io.ReadAll(r)
	must(t, err)
	return plain
}

// companion fetches url until it comes as gzip; until then it has to come as it
// is.
func (n *nginx) companion(t testing.TB, path string, want []byte) answer {
	t.Helper()
	var a answer
	if !eventually(startLimit, func() bool {
		a = fetch(t, n.url+path, "Accept-Encoding", "gzip")
		if a.header.Get("Content-Encoding") == "" && !bytes.Equal(a.body, want) {
			t.Fatalf("%s: got %d, %d other bytes", path, a.status, len(a.body))
		}
		return a.header.Get("Content-Encoding") == "gzip"
	}) {
		t.Fatalf("%s never came as gzip", path)
	}
	if a.status != http.StatusOK || !bytes.Equal(gunzip(t, a.body), want) {
		t.Errorf("%s as gzip: got %d, other bytes", path, a.status)
	}
	return a
}

// TestCompressedAnswersCostNothing follows gzip forms on the wire.
func TestCompressedAnswersCostNothing(t *testing.T) {
	reg := startRegistry(t)
	app, own := bundleJS(1), bundleJS(2)
	ownGz := []byte("not even gzip")
	s := site{
		"index.html": bytes.Repeat([]byte("<p>hello</p>\n"), 500), "app.js": app, "data/a b ü%?.txt": bytes.Repeat([]byte("text "), 1000),
		"own.js": own, "own.js.gz": ownGz, "small.css": []byte("a{}"), "noise.bin": noise(1, 50_000), "film.mp4": bytes.Repeat([]byte("film"), 5000),
	}
	dir := s.write(t)
	publishDir(t, dir, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	const base = "/my-app/v1/"
	text := base + url.PathEscape("data") + "/" + url.PathEscape("a b ü%?.txt")
	for _, path := range []string{base, text, base + "app.js"} { // so that all are made in one go
		fetchOK(t, web.url+path, "Accept-Encoding", "gzip")
	}
	web.companion(t, base, s["index.html"])
	web.companion(t, text, s["data/a b ü%?.txt"])
	a := web.companion(t, base+"app.js", app)
	plain := fetch(t, web.url+base+"app.js")

	if got := a.header.Get("Content-Type"); got != plain.header.Get("Content-Type") || !strings.Contains(got, "charset=utf-8") {
		t.Errorf("as gzip: got the type %q, as it is %q", got, plain.header.Get("Content-Type"))
	}
	for _, a := range []answer{a, plain} {
		if a.header.Get("Vary") != "Accept-Encoding" || a.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("got Vary %q, Cache-Control %q", a.header.Get("Vary"), a.header.Get("Cache-Control"))
		}
	}
	if !bytes.Equal(plain.body, app) || plain.header.Get("ETag") == a.header.Get("ETag") {
		t.Errorf("who takes no gzip: got %d bytes with ETag %s, as gzip %s", len(plain.body), plain.header.Get("ETag"), a.header.Get("ETag"))
	}
	if again := fetch(t, web.url+base+"app.js", "Accept-Encoding", "gzip", "If-None-Match", a.header.Get("ETag")); again.status != http.StatusNotModified {
		t.Errorf("with its ETag: got %d, want 304", again.status)
	}
	for _, accept := range []string{"gzip", "identity"} { // a range is one of the file
		for path, want := range map[string][]byte{base + "app.js": app, base: s["index.html"], text: s["data/a b ü%?.txt"], base + "film.mp4": s["film.mp4"]} {
			a := fetch(t, web.url+path, "Accept-Encoding", accept, "Range", "bytes=20-39")
			if a.status != http.StatusPartialContent || !bytes.Equal(a.body, want[20:40]) || a.header.Get("Content-Encoding") != "" {
				t.Errorf("a range of %s, %s: got %d %q", path, accept, a.status, a.body)
			}
		}
	}
	if a := fetch(t, web.url+base+"app.js", "Accept-Encoding", "gzip", "Range", "bytes=20-39", "If-Range", a.header.Get("ETag")); a.status != http.StatusOK || !bytes.Equal(a.body, app) {
		t.Errorf("a range of the gzip form: got %d and %d bytes, want 200 and the file", a.status, len(a.body))
	}
	for _, path := range []string{"/.regfs/ready", "/-range/my-app/v1/app.js", base + ".hidden", base + "missing.js"} {
		for _, r := range []string{"bytes=0-1", ""} {
			if a := fetch(t, web.url+path, "Range", r); a.status != http.StatusNotFound {
				t.Errorf("%s with range %q: got %d, want 404", path, r, a.status)
			}
		}
	}
	if a := fetch(t, web.url+base+"own.js", "Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "gzip" || !bytes.Equal(a.body, ownGz) {
		t.Errorf("a .gz of the site: got %q", a.body)
	}
	for _, name := range []string{"small.css", "noise.bin", "film.mp4"} {
		if a := fetch(t, web.url+base+name, "Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "" || !bytes.Equal(a.body, s[name]) {
			t.Errorf("%s: got encoding %q", name, a.header.Get("Content-Encoding"))
		}
	}
	compareTree(t, dir, d.path("my-app/v1")) // nothing more is listed
}

// TestCompanionsOutliveTheDaemon: after a restart with the registry away they
// are there at once, and what is evicted while the kernel knows it is made again.
func TestCompanionsOutliveTheDaemon(t *testing.T) {
	reg := startRegistry(t)
	app := bundleJS(1)
	site{"app.js": app, "other.js": bundleJS(2)}.publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	const path = "/my-app/v1/app.js"
	before := web.companion(t, path, app)
	d.waitUntilKept(t, "my-app")
	reg.stop()
	d.unmountCleanly(t)
	d.launch(t)
	after := fetch(t, web.url+path, "Accept-Encoding", "gzip")
	if after.header.Get("Content-Encoding") != "gzip" || !bytes.Equal(after.body, before.body) || after.header.Get("ETag") != before.header.Get("ETag") {
		t.Errorf("after a restart: got %d, encoding %q, ETag %s; want those of before, %s",
			after.status, after.header.Get("Content-Encoding"), after.header.Get("ETag"), before.header.Get("ETag"))
	}

	// The kernel knows it, the store has lost it, and its pages are dropped.
	d.forget(t, "my-app/v1/app.js.gz", int64(len(before.body)))
	got, err := os.ReadFile(d.path("my-app/v1/app.js.gz"))
	if err != nil || !bytes.Equal(got, before.body) {
		t.Errorf("evicted: got %d other bytes, %v", len(got), err)
	}
}

// TestABrowserDecodesCompanions sees the encoding on the wire, and what a page
// makes of it.
func TestABrowserDecodesCompanions(t *testing.T) {
	reg := startRegistry(t)
	app := bundleJS(1)
	page := []byte("<!doctype html><title>gzip</title><link rel=icon href='data:,'><script src='app.js'></script><h1>" + strings.Repeat("text ", 500) + "</h1>")
	site{"index.html": page, "app.js": app}.publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	web.companion(t, "/my-app/v1/", page)
	web.companion(t, "/my-app/v1/app.js", app)

	b := startBrowser(t)
	b.do(chromedp.Navigate(web.url + "/my-app/v1/"))
	if got, want := ask(b, chromedp.Evaluate[int](`window.bundle.length`)), 600_000; got != want {
		t.Errorf("the script as the page has it: got %d characters, want %d", got, want)
	}
	encoded := b.encodings()
	for _, want := range []string{"/my-app/v1/ gzip", "/my-app/v1/app.js gzip"} {
		if !slices.Contains(encoded, web.url+want) {
			t.Errorf("got %q, want %s", encoded, want)
		}
	}
}
