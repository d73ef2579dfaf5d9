package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/regfs/regfs/internal/hostname"
)

// gzipRequest is something that is asked for, and the file of the site that is
// the answer.
type gzipRequest struct {
	path, file string
	accept     string
	status     int
	ruled      bool // only where rules are honoured
}

var gzipRequests = []gzipRequest{
	{path: "/", file: "index.html", status: 200},
	{path: "/guide/", file: "guide/index.html", status: 200},
	{path: "/about.html", file: "about.html", status: 200},
	{path: "/about", file: "about.html", status: 200},
	{path: "/guide/v1.2", file: "guide/v1.2.html", status: 200},
	{path: "/both", file: "both.html", status: 200}, // beside a folder both/
	{path: "/app.js", file: "app.js", status: 200},
	{path: "/app.wasm", file: "app.wasm", status: 200}, // often large
	{path: "/users/7", file: "200.html", accept: "text/html", status: 200},
	{path: "/guide/nothing/", file: "200.html", accept: "text/html", status: 200},
	{path: "/deep/1/2/3/4/5/6", file: "200.html", accept: "text/html", status: 200},
	{path: "/deep/1/2/3/4/5/6/", file: "200.html", accept: "text/html", status: 200},
	{path: "/deep/1/2/3/4/5/6", file: "404.html", status: 404},
	{path: "/deep/1/2/3/4/5/6/", file: "404.html", status: 404},
	{path: "/missing.js", file: "404.html", status: 404},
	{path: "/guide/missing/", file: "404.html", status: 404},
	{path: "/.hidden", file: "404.html", status: 404},
	{path: "/shown/x", file: "about.html", status: 200, ruled: true},
	{path: "/closed/x", file: "guide/index.html", status: 404, ruled: true},
}

// TestRangesAreOfFilesAndAllElseIsCompressed asks for every way in which a file
// becomes an answer: with and without gzip, as a range, below the site's name and
// on its host, without rules.conf and with it, of sites with rules and without.
func TestRangesAreOfFilesAndAllElseIsCompressed(t *testing.T) {
	reg := startRegistry(t)
	text := func(s string) []byte {
		return []byte(strings.Repeat(s+" ", 800) + fmt.Sprintf("%x", noise(uint64(len(s)), 3000)))
	}
	files := site{
		"index.html": text("start"), "guide/index.html": text("the guide"), "about.html": text("about"), "guide/v1.2.html": text("one dot two"),
		"both.html": text("both"), "both/x.txt": []byte("x"), "app.js": text("/* script */"), "app.wasm": text("\x00asm"),
		"200.html": text("fallback"), "404.html": text("missing page"), ".hidden": text("hidden"),
	}
	files.publish(t, reg.host, "plain", "v1")
	files.with(site{
		"_headers":   []byte("/*\n  X-Frame-Options: DENY\n"),
		"_redirects": []byte("/shown/*  /about.html  200\n/closed/*  /guide/  404\n"),
	}).publish(t, reg.host, "team/ruled", "v1")
	own := freeAddress(t)
	m := mount(t, reg.host, "--listen="+own)
	servers := map[bool]*nginx{false: startNginx(t, m.dir), true: startNginxWithRules(t, m.dir, own)}
	for _, r := range gzipRequests { // so that all are made in one go
		for _, repo := range []string{"plain", "team/ruled"} {
			fetch(t, servers[true].url+"/"+repo+"/v1"+r.path, "Accept", r.accept, "Accept-Encoding", "gzip")
		}
	}
	for rules, n := range servers {
		for _, repo := range []string{"plain", "team/ruled"} {
			honoured := rules && repo == "team/ruled"
			for _, p := range []place{{"path", "", "/" + repo + "/v1"}, {"host", hostname.Label(repo, "v1") + ".sites.localhost", ""}} {
				for _, r := range gzipRequests {
					if r.ruled && !honoured {
						continue
					}
					t.Run(fmt.Sprintf("rules.conf %v, %s, %s%s", rules, repo, p.how, r.path), func(t *testing.T) {
						r.check(t, n, p, files[r.file], honoured)
					})
				}
			}
		}
	}
}

// check asks for r in all ways in which one can; want is the file, honoured
// whether the site's headers are to be there.
func (r gzipRequest) check(t *testing.T, n *nginx, p place, want []byte, honoured bool) {
	t.Helper()
	ask := func(header ...string) webAnswer {
		t.Helper()
		a := askServer(t, n.url, p.host, p.prefix+r.path, webRequest{header: lines(append(header, "Accept: "+r.accept)...)})
		if got := a.Header.Get("X-Frame-Options"); (got == "DENY") != honoured {
			t.Errorf("%q: got X-Frame-Options: %q; rules are honoured: %v", header, got, honoured)
		}
		if !strings.Contains(a.Header.Get("Vary"), "Accept-Encoding") || a.Header.Get("Location") != "" {
			t.Errorf("%q: got Vary: %q, Location: %q", header, a.Header.Get("Vary"), a.Header.Get("Location"))
		}
		return a
	}
	const gzip, part = "Accept-Encoding: gzip", "Range: bytes=20-39"
	plain := ask()
	if plain.StatusCode != r.status || plain.body != string(want) || plain.Header.Get("Content-Encoding") != "" {
		t.Fatalf("got %d, %d bytes, encoding %q; want %d and the %d bytes of %s",
			plain.StatusCode, len(plain.body), plain.Header.Get("Content-Encoding"), r.status, len(want), r.file)
	}
	var packed webAnswer
	if !eventually(startLimit, func() bool {
		packed = ask(gzip)
		return packed.Header.Get("Content-Encoding") == "gzip"
	}) {
		t.Fatalf("never compressed: got %d %v", packed.StatusCode, packed.Header)
	}
	if got := string(gunzip(t, []byte(packed.body))); packed.StatusCode != r.status || got != string(want) || packed.Header.Get("Content-Type") != plain.Header.Get("Content-Type") {
		t.Errorf("compressed: got %d, %v, %d bytes; want those of %s", packed.StatusCode, packed.Header, len(got), r.file)
	}
	if r.status != http.StatusOK {
		if got := ask(part); got.StatusCode != r.status || got.body != string(want) {
			t.Errorf("a range: got %d and %d bytes, want %d and all", got.StatusCode, len(got.body), r.status)
		}
		return
	}
	for _, header := range [][]string{{part}, {part, gzip}, {part, gzip, "If-Range: " + plain.Header.Get("ETag")}} {
		a := ask(header...)
		if want := fmt.Sprintf("bytes 20-39/%d", len(want)); a.StatusCode != http.StatusPartialContent || a.Header.Get("Content-Range") != want || a.Header.Get("Content-Encoding") != "" {
			t.Errorf("%q: got %d, Content-Range: %q, encoding %q; want 206, %q of the file", header, a.StatusCode, a.Header.Get("Content-Range"), a.Header.Get("Content-Encoding"), want)
		}
		if a.body != string(want[20:40]) {
			t.Errorf("%q: got %q, want %q", header, a.body, want[20:40])
		}
	}
	if a := ask(part, gzip, "If-Range: "+packed.Header.Get("ETag")); a.StatusCode != http.StatusOK || a.body != string(want) || packed.Header.Get("ETag") == plain.Header.Get("ETag") {
		t.Errorf("a range of the gzip form: got %d and %d bytes, want 200 and the file", a.StatusCode, len(a.body))
	}
	for header, tag := range map[string]string{gzip: packed.Header.Get("ETag"), "Accept-Encoding: identity": plain.Header.Get("ETag")} {
		if a := ask(header, "If-None-Match: "+tag); a.StatusCode != http.StatusNotModified {
			t.Errorf("%s with its ETag: got %d, want 304", header, a.StatusCode)
		}
	}
}
