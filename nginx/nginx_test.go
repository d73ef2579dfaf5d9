// Package nginx_test runs regfs.conf in a real nginx over a plain folder.
//
// The folder stands in for the mount: what is tested here is what nginx makes
// of files and errors, not where they come from.
package nginx_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	digest    = "sha256:57da3d5e6864dd20281f3e102267801094fcb2f8a77cefcc72f5307eb93acc5b"
	immutable = "public, max-age=31536000, immutable"
	mtime     = 1234567890 // of every file in the folder, so that ETags are known

	indexETag = `"499602d2-6"` // mtime and size of index.html, in hex
)

// absent is the value of a header that must not be in the answer.
const absent = ""

type header map[string]string

// goes is what a browser sends that goes to a page.
var goes = header{"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

// from is what a browser sends for a part of a page on the same server.
func from(page string) header { return header{"Referer": "http://SERVER" + page} }

var tests = []struct {
	name    string
	method  string // "" is GET
	host    string // "" is the server's address
	path    string
	request header
	status  int
	answer  header
	body    string // "" is not compared
}{
	{name: "index of a tag", path: "/my-app/v1/", status: 200, body: "<v1>\n\n", answer: header{
		"Content-Type":           "text/html; charset=utf-8",
		"Cache-Control":          "no-cache",
		"ETag":                   indexETag,
		"Last-Modified":          absent,
		"X-Content-Type-Options": "nosniff",
		"Server":                 "nginx",
	}},
	{name: "folder without its slash", path: "/my-app/v1", status: 301, answer: header{
		"Location": "/my-app/v1/", "Cache-Control": "no-cache", "Last-Modified": absent}},
	{name: "folder with an extension", path: "/my-app/v1/next.js", status: 301, answer: header{"Location": "/my-app/v1/next.js/"}},
	{name: "folder with the extension of pages", path: "/my-app/v1/next.html", status: 301, answer: header{"Location": "/my-app/v1/next.html/"}},
	{name: "folder with a name to escape", path: "/my-app/v1/a%20b%0d%0a%3f", status: 301, answer: header{"Location": "/my-app/v1/a%20b%0D%0A%3F/"}},
	{name: "index below a folder", path: "/my-app/v1/guide/", status: 200, body: "guide"},

	{name: "site by digest", path: "/my-app@" + digest + "/", status: 200, answer: header{
		"Cache-Control": immutable, "ETag": indexETag, "Last-Modified": absent, "X-Content-Type-Options": "nosniff"}},
	{name: "site by digest, escaped", path: "/my-app%40" + strings.Replace(digest, ":", "%3A", 1) + "/", status: 200,
		answer: header{"Cache-Control": immutable}},
	{name: "nested repository by digest", path: "/team/docs@" + digest + "/", status: 200,
		answer: header{"Cache-Control": immutable}},
	{name: "site by digest, not modified", path: "/my-app@" + digest + "/", request: header{"If-None-Match": indexETag},
		status: 304, answer: header{"Cache-Control": immutable, "Last-Modified": absent}},
	{name: "missing file of a site by digest", path: "/my-app@" + digest + "/missing.js", status: 404,
		answer: header{"Cache-Control": "no-cache"}},
	{name: "error in a site by digest", path: "/my-app@" + digest + "/broken", status: 503,
		answer: header{"Cache-Control": "no-store"}},
	{name: "tag spelled with a colon", path: "/my-app:v1/", status: 200, answer: header{"Cache-Control": "no-cache"}},
	{name: "something like a digest", path: "/my-app@sha256:57da/", status: 200, answer: header{"Cache-Control": "no-cache"}},

	{name: "same ETag", path: "/my-app/v1/", request: header{"If-None-Match": indexETag}, status: 304,
		answer: header{"Cache-Control": "no-cache", "Last-Modified": absent}},
	{name: "ETag of another version", path: "/my-app/v1/", request: header{"If-None-Match": `"499602d3-6"`}, status: 200},
	{name: "a later date says nothing", path: "/my-app/v1/", status: 200,
		request: header{"If-Modified-Since": time.Unix(mtime+1, 0).UTC().Format(http.TimeFormat)}},

	{name: "range", path: "/my-app/v1/site.js", request: header{"Range": "bytes=1-3"}, status: 206, body: "234",
		answer: header{"Content-Range": "bytes 1-3/9", "Cache-Control": "no-cache"}},
	{name: "range of the version at hand", path: "/my-app/v1/site.js", status: 206, body: "234",
		request: header{"Range": "bytes=1-3", "If-Range": `"499602d2-9"`}},
	{name: "range of another version", path: "/my-app/v1/site.js", status: 200, body: "123456789",
		request: header{"Range": "bytes=1-3", "If-Range": `"499602d3-9"`}},
	{name: "several ranges", path: "/my-app/v1/site.js", request: header{"Range": "bytes=1-1,3-3"}, status: 200, body: "123456789"},
	{name: "range past the end", path: "/my-app/v1/site.js", request: header{"Range": "bytes=9-"}, status: 416},

	{name: "missing file", path: "/my-app/v1/missing.html", status: 404, answer: header{
		"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Last-Modified": absent}},
	{name: "missing repository", path: "/other/v1/", status: 404},
	{name: "file used as a folder", path: "/my-app/v1/site.js/x", status: 404},
	{name: "name too long for a file system", path: "/my-app/v1/" + strings.Repeat("x", 300), status: 404},
	{name: "folder without an index", path: "/my-app/v1/img/", status: 404, answer: header{"Cache-Control": "no-cache"}},
	{name: "the root lists nothing", path: "/", status: 404},

	{name: "not allowed to read a file", path: "/my-app/v1/secret.txt", status: 403, answer: header{"Cache-Control": "no-cache"}},
	{name: "not allowed to see a repository", path: "/private/v1/", status: 403},

	{name: "error on a file", path: "/my-app/v1/broken", status: 503, answer: header{
		"Retry-After": "1", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Last-Modified": absent}},
	{name: "error on an index", path: "/my-app/v1/broken.d/", status: 503, answer: header{"Retry-After": "1"}},

	{name: "dotfile", path: "/my-app/v1/.htpasswd", status: 404},
	{name: "folder with a dot", path: "/my-app/v1/.git/config", status: 404},
	{name: "well-known", path: "/my-app/v1/.well-known/security.txt", status: 200},
	{name: "like well-known", path: "/my-app/v1/.well-known-not/x", status: 404},
	{name: "the mount's own folder", path: "/.regfs/ready", status: 404},
	{name: "the mount's own folder, escaped", path: "/%2eregfs/ready", status: 404},

	{name: "page without its extension", path: "/my-app/v1/about", status: 200, body: "about", answer: header{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", "Last-Modified": absent}},
	{name: "page beside a folder of its name", path: "/my-app/v1/img", status: 200, body: "images"},
	{name: "page without its extension, broken", path: "/my-app/v1/broken-page", status: 503},
	{name: "page that a site has for what is missing", path: "/team/docs/v1/missing", status: 404, body: "missing", answer: header{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", "Last-Modified": absent, "ETag": absent}},
	{name: "the same in a folder without an index", path: "/team/docs/v1/img/", status: 404, body: "missing"},
	{name: "the same, broken", path: "/broken/v1/missing", status: 503, answer: header{"Retry-After": "1", "Cache-Control": "no-store"}},
	{name: "fallback page of an application", path: "/spa/v1/users/7", request: goes, status: 200, body: "start", answer: header{
		"Cache-Control": "no-cache", "Vary": "Accept, Accept-Encoding", "Last-Modified": absent}},
	{name: "the same, not modified", path: "/spa/v1/users/7", status: 304,
		request: header{"Accept": "text/html", "If-None-Match": `"499602d2-5"`}},
	{name: "the same for a digest", path: "/spa@" + digest + "/users/7", request: goes, status: 200, answer: header{
		"Cache-Control": immutable, "Vary": "Accept, Accept-Encoding"}},
	{name: "the same, broken", path: "/broken/v1/users/7", request: goes, status: 503},
	{name: "a script of an application", path: "/spa/v1/users/7", request: header{"Accept": "*/*"}, status: 404},
	{name: "an asset of an application", path: "/spa/v1/a.js", request: goes, status: 404},
	{name: "no application", path: "/my-app/v1/users/7", request: goes, status: 404},

	{name: "asset of a page at the root", path: "/a.css", request: from("/my-app/v1/guide/"), status: 302, answer: header{
		"Location": "/my-app/v1/a.css", "Cache-Control": "no-cache"}},
	{name: "asset in a folder", path: "/img/a.png?x=%41", request: from("/my-app/v1/?y#z"), status: 302, answer: header{
		"Location": "/my-app/v1/img/a.png?x=%41"}},
	{name: "page at the root", path: "/about", request: from("/my-app/v1/"), status: 302, answer: header{"Location": "/my-app/v1/about"}},
	{name: "folder at the root", path: "/guide/", request: from("/my-app/v1/"), status: 302, answer: header{"Location": "/my-app/v1/guide/"}},
	{name: "asset of a page in a digest", path: "/a%20b.js", request: from("/my-app@" + digest + "/"), status: 302, answer: header{
		"Location": "/my-app@" + digest + "/a%20b.js"}},
	{name: "asset of a nested repository", path: "/a.css", request: from("/team/docs/v1/deep/down/"), status: 302, answer: header{
		"Location": "/team/docs/v1/a.css"}},
	{name: "asset that the page's site has not", path: "/none.css", request: from("/my-app/v1/"), status: 404},
	{name: "asset of a page elsewhere", path: "/a.css", request: header{"Referer": "http://elsewhere/my-app/v1/"}, status: 404},
	{name: "asset of no page", path: "/a.css", status: 404},
	{name: "asset of the front page", path: "/a.css", request: from("/"), status: 404},
	{name: "asset of a page that climbs", path: "/a.css", request: from("/x/../my-app/v1/"), status: 404},
	{name: "asset of a page above the root", path: "/a.css", request: from("/../../"), status: 404},
	{name: "line ends in a name", path: "/a%0d%0aX:%20y", request: from("/my-app/v1/"), status: 302, answer: header{
		"Location": "/my-app/v1/a%0d%0aX:%20y", "X": absent}},
	{name: "asset with a question mark", path: "/a%3Fb.js?x=1", request: from("/my-app/v1/"), status: 302, answer: header{
		"Location": "/my-app/v1/a%3Fb.js?x=1"}},
	{name: "asset whose names no folder tells", path: "/a.css", request: from("/my-app/"), status: 404},

	{name: "host", host: "v1--my-app.sites.localhost", path: "/", status: 200, body: "host", answer: header{"Cache-Control": "no-cache"}},
	{name: "host with a port", host: "v1--my-app.sites.example.org:8080", path: "/", status: 200, body: "host"},
	{name: "host in capitals", host: "V1--My-App.Sites.localhost", path: "/", status: 200, body: "host"},
	{name: "folder of a host", host: "v1--my-app.sites.localhost", path: "/sub", status: 301, answer: header{"Location": "/sub/"}},
	{name: "missing on a host", host: "v1--my-app.sites.localhost", path: "/sub/missing", status: 404, body: "missing on a host"},
	{name: "other sites of a host", host: "v1--my-app.sites.localhost", path: "/my-app/v1/", status: 404, body: "missing on a host"},
	{name: "root of a host, from another page", host: "v1--my-app.sites.localhost", path: "/a.css", status: 404,
		request: header{"Referer": "http://v1--my-app.sites.localhost/sub/"}},
	{name: "fingerprint on a host", host: "v1--my-app.sites.localhost", path: "/app.0a1b2c3d.js", status: 200, answer: header{"Cache-Control": immutable}},
	{name: "digest on a host", host: "v1--my-app.sites.localhost", path: "/x@" + digest + "/", status: 200, answer: header{"Cache-Control": "no-cache"}},
	{name: "unknown host", host: "v9--my-app.sites.localhost", path: "/", status: 404, answer: header{"Cache-Control": "no-cache"}},
	{name: "host that names no label", host: "..sites.localhost", path: "/", status: 400},
	{name: "hosts by their path", path: "/.regfs/hosts/v1--my-app/", status: 404},
	{name: "names by their path", path: "/my-app/v1/.regfs/names/a.css/", status: 404},

	{name: "other methods", method: http.MethodPost, path: "/my-app/v1/", status: 405, answer: header{"Allow": "GET, HEAD", "Cache-Control": "no-cache"}},

	{name: "css", path: "/my-app/v1/a.css", status: 200, answer: header{"Content-Type": "text/css; charset=utf-8"}},
	{name: "mjs", path: "/my-app/v1/a.mjs", status: 200, answer: header{"Content-Type": "text/javascript; charset=utf-8"}},
	{name: "js", path: "/my-app/v1/site.js", status: 200, answer: header{"Content-Type": "application/javascript; charset=utf-8"}},
	{name: "source map", path: "/my-app/v1/a.js.map", status: 200, answer: header{"Content-Type": "application/json"}},
	{name: "web manifest", path: "/my-app/v1/a.webmanifest", status: 200, answer: header{"Content-Type": "application/manifest+json"}},
	{name: "wasm", path: "/my-app/v1/a.wasm", status: 200, answer: header{"Content-Type": "application/wasm"}},
	{name: "avif", path: "/my-app/v1/a.avif", status: 200, answer: header{"Content-Type": "image/avif"}},
	{name: "svg", path: "/my-app/v1/a.svg", status: 200, answer: header{"Content-Type": "image/svg+xml"}},
	{name: "woff2", path: "/my-app/v1/a.woff2", status: 200, answer: header{"Content-Type": "font/woff2"}},
	{name: "ttf", path: "/my-app/v1/a.ttf", status: 200, answer: header{"Content-Type": "font/ttf"}},
	{name: "no extension", path: "/my-app/v1/LICENSE", status: 200, answer: header{"Content-Type": "application/octet-stream"}},
}

func TestServesAFolderAsDocumented(t *testing.T) {
	base := startNginx(t, makeSites(t))
	client := &http.Client{
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			answer, body := get(t, client, test.method, base, test.host, test.path, test.request)
			if got, want := answer.StatusCode, test.status; got != want {
				t.Errorf("GET %s: got status %d, want %d", test.path, got, want)
			}
			for name, want := range test.answer {
				if got := strings.Join(answer.Header.Values(name), " | "); got != want {
					t.Errorf("GET %s: got %s: %q, want %q", test.path, name, got, want)
				}
			}
			if test.body != "" && body != test.body {
				t.Errorf("GET %s: got body %q, want %q", test.path, body, test.body)
			}
		})
	}
}

// TestAssetsThatSayTheirHashAreKept asks for what build tools write, and for names
// that only look like it.
func TestAssetsThatSayTheirHashAreKept(t *testing.T) {
	kept := []string{
		"main.8d3f2a1b.js", "main.8d3f2a1b.chunk.js", "css/main.5f3a2b1c.css", "app-2c79e2a64abdb08b.js", // webpack, Gatsby
		"main.min.57da3d5e6864dd20281f3e102267801094fcb2f8a77cefcc72f5307eb93acc5b.css", // Hugo
		"_next/static/css/0f1e2d3c4b5a6978.css", "_next/static/qX3mZ_build/_ssgManifest.js", "_next/static/media/font.p.woff2",
		"assets/index-BkY3d8Xz.js", "assets/font.x9Yk2LmQ.woff2", "assets/chunk-5KSNSDXS.js", // Vite, esbuild
		"_astro/page.css", "_app/immutable/start.js", "img/photo.0a1b2c3d.webp", "0a1b2c3d4e5f.wasm",
	}
	notKept := []string{
		"main.js", "index.html", "page.0a1b2c3d.html", "data.0a1b2c3d.json", "sw.js", "jquery-3.6.0.min.js", "photo-20240131.jpg",
		"decade.js", "deadbeef.js", "defaced.css", "assets/decadence.js", "assets/tutorial-Chapter1.js", "assets/Version2.js",
		"assets/photo-BkY3d8Xz.png", "index-BkY3d8Xz.js", "0a1b2c3.js", "550e8400-e29b-41d4-a716-44665544000a.png",
		"_next/data.js", "_next/static/list.json", "_astro/page.html",
	}
	root := sharedDir(t)
	for _, name := range append(kept, notKept...) {
		writeFile(t, filepath.Join(root, "my-app/v1", name), "x")
	}
	base := startNginx(t, root)
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	look := func(names []string, want string) {
		for _, name := range names {
			answer, _ := get(t, client, http.MethodGet, base, "", "/my-app/v1/"+name, nil)
			if got := answer.Header.Get("Cache-Control"); answer.StatusCode != http.StatusOK || got != want {
				t.Errorf("%s: got %d, Cache-Control %q; want %q", name, answer.StatusCode, got, want)
			}
		}
	}
	look(kept, immutable)
	look(notKept, "no-cache")
}

func get(t *testing.T, client *http.Client, method, base, host, path string, request header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	for name, value := range request {
		req.Header.Set(name, strings.Replace(value, "SERVER", req.Host, 1))
	}
	answer, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// makeSites makes the folder that the requests above are about. A socket
// stands for a broken file: opening it is ENXIO, for nginx as bad as EIO.
func makeSites(t *testing.T) string {
	t.Helper()
	root := sharedDir(t)
	files := map[string]string{
		".regfs/ready":              "ok",
		"my-app:v1/index.html":      "<v1>\n\n",
		"private/v1/index.html":     "<v1>\n\n",
		"my-app@sha256:57da/x.html": "x",
	}
	for _, name := range []string{"index.html", "a.css", "a.mjs", "a.js.map", "a.webmanifest", "a.wasm", "a.avif", "a.svg",
		"a.woff2", "a.ttf", "LICENSE", ".htpasswd", ".git/config", ".well-known/security.txt", ".well-known-not/x",
		"img/a.png", "secret.txt"} {
		files["my-app/v1/"+name] = "<v1>\n\n"
	}
	for name, content := range map[string]string{
		"my-app/v1/next.js/x": "", "my-app/v1/next.html/x": "", "my-app/v1/a b\r\n?/x": "",
		"my-app/v1/about.html": "about", "my-app/v1/img.html": "images",
		"team/docs/v1/img/a.png": "", "team/docs/v1/.regfs/404.html": "missing",
		"spa/v1/.regfs/spa.html": "start", "spa@" + digest + "/.regfs/spa.html": "start",
		".regfs/hosts/v1--my-app/index.html": "host", ".regfs/hosts/v1--my-app/sub/a": "", ".regfs/hosts/v1--my-app/app.0a1b2c3d.js": "",
		".regfs/hosts/v1--my-app/x@" + digest + "/index.html": "", ".regfs/hosts/v1--my-app/.regfs/404.html": "missing on a host",
		".regfs/hosts/v1--my-app/.regfs/names/a.css/x": "",
		"my-app@" + digest + "/.regfs/names/a b.js/x":  "", "team/docs/v1/.regfs/names/a.css/x": "",
	} {
		files[name] = content
	}
	for _, name := range []string{"a.css", "img/a.png", "about.html", "guide/index.html", "a\r\nX: y", "a?b.js"} {
		files["my-app/v1/.regfs/names/"+name+"/x"] = "" // the x makes it a folder
	}
	files["my-app/v1/site.js"] = "123456789"
	files["my-app/v1/guide/index.html"] = "guide"
	for _, site := range []string{"my-app@" + digest, "team/docs@" + digest, "my-app@sha256:57da"} {
		files[site+"/index.html"] = "<v1>\n\n"
	}
	for name, content := range files {
		writeFile(t, filepath.Join(root, name), content)
	}
	makeSocket(t, filepath.Join(root, "my-app/v1/broken"))
	makeSocket(t, filepath.Join(root, "my-app/v1/broken.d/index.html"))
	makeSocket(t, filepath.Join(root, "my-app@"+digest, "broken"))
	makeSocket(t, filepath.Join(root, "my-app/v1/broken-page.html"))
	makeSocket(t, filepath.Join(root, "broken/v1/.regfs/404.html"))
	makeSocket(t, filepath.Join(root, "broken/v1/.regfs/spa.html"))
	for _, name := range []string{"my-app/v1/secret.txt", "private"} {
		if err := os.Chmod(filepath.Join(root, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(root, "private"), 0o700) }) // so that it can be removed
	return root
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(mtime, 0)); err != nil {
		t.Fatal(err)
	}
}

func makeSocket(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mknod(path, syscall.S_IFSOCK|0o666, 0); err != nil {
		t.Fatal(err)
	}
}

// sharedDir is a temporary folder that the workers of nginx, which are nobody,
// can enter.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// startNginx runs regfs.conf over root until the test ends, and returns the
// URL where it listens.
//
// The test opens the port and hands it down in $NGINX, the way in which nginx
// hands its ports to its successor: so nobody can take it in between.
func startNginx(t *testing.T, root string) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()

	dir, address := sharedDir(t), listener.Addr().String()
	var stderr bytes.Buffer
	nginx := exec.Command(nginxPath(t), "-p", dir, "-e", "error.log", "-c", writeConfig(t, dir, address, root))
	nginx.Env = append(os.Environ(), "NGINX=3;")
	nginx.ExtraFiles = []*os.File{port}
	nginx.Stderr = &stderr
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, nginx, &stderr, filepath.Join(dir, "error.log")) })
	return "http://" + address
}

// stop ends nginx and says what it had to complain of.
func stop(t *testing.T, nginx *exec.Cmd, stderr *bytes.Buffer, errorLog string) {
	if err := nginx.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("nginx was gone before the end of the test: %v", err)
	}
	if err := nginx.Wait(); err != nil {
		t.Errorf("nginx: %v", err)
	}
	if t.Failed() {
		text, _ := os.ReadFile(errorLog)
		t.Logf("nginx said: %s\n%s", stderr, text)
	}
}

func nginxPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} { // sbin is in the PATH of root only
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("REGFS_TEST_ALL") != "" { // on a machine that is there to run everything
		t.Fatal("nginx is not installed: apt-get install nginx")
	}
	t.Skip("nginx is not installed: apt-get install nginx")
	return ""
}

// writeConfig writes a main configuration that includes regfs.conf as nginx's
// own does, with its two lines adapted, and returns its path.
func writeConfig(t *testing.T, dir, address, root string) string {
	t.Helper()
	conf, err := os.ReadFile("regfs.conf")
	if err != nil {
		t.Fatal(err)
	}
	for was, is := range map[string]string{
		"listen 8080;":     fmt.Sprintf("listen %s;", address),
		"root /mnt/sites$": fmt.Sprintf("root %s$", root),
	} {
		if n := bytes.Count(conf, []byte(was)); n != 1 {
			t.Fatalf("regfs.conf has %q %d times, want once", was, n)
		}
		conf = bytes.Replace(conf, []byte(was), []byte(is), 1)
	}
	writeFile(t, filepath.Join(dir, "regfs.conf"), string(conf))
	path := filepath.Join(dir, "nginx.conf")
	writeFile(t, path, mainConfig())
	return path
}

func mainConfig() string {
	user := "user nobody nogroup;"
	if os.Geteuid() != 0 {
		user = "" // the workers are who we are
	}
	return user + `
daemon off;
worker_processes 2;
pid nginx.pid;
error_log error.log info;
events { worker_connections 64; }
http {
	include /etc/nginx/mime.types;
	default_type application/octet-stream;
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	include regfs.conf;
}
`
}

// TestRulesConfIsTakenAsItIs has nginx read rules.conf where regfs.conf looks
// for it; what it does is seen with a daemon, in the tests of the whole.
func TestRulesConfIsTakenAsItIs(t *testing.T) {
	dir := sharedDir(t)
	conf := writeConfig(t, dir, "unix:"+filepath.Join(dir, "socket"), dir) // a port could be taken
	rules, err := os.ReadFile("rules.conf")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "regfs", "rules.conf"), string(rules))
	check := func() string {
		out, err := exec.CommandContext(t.Context(), nginxPath(t), "-t", "-q", "-p", dir, "-e", "stderr", "-c", conf).CombinedOutput()
		if err != nil {
			out = fmt.Appendf(out, "%v", err)
		}
		return string(out)
	}
	if got := check(); got != "" {
		t.Errorf("nginx says of rules.conf: %s", got)
	}
	// That it was read at all.
	writeFile(t, filepath.Join(dir, "regfs", "rules.conf"), "nonsense;")
	if got := check(); !strings.Contains(got, `unknown directive "nonsense"`) {
		t.Errorf("nginx says of nonsense in rules.conf: %q", got)
	}
}
