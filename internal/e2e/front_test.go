package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sitesDocument is .regfs/sites.json, as a reader of JSON sees it.
type sitesDocument struct {
	Version      int
	Registry     string
	Pending      int
	Problem      string
	Repositories []struct {
		Name string
		Tags []sitesTag
	}
	Versions map[string]struct {
		Manifest    string
		Size, Bytes int64
		Files       int
		Created     *time.Time
	}
}

type sitesTag struct {
	Name, Digest, Host, Path string
	Pushed, Before           *time.Time
}

// digest is what a tag names, or "".
func (s sitesDocument) digest(repo, tag string) string { return s.tag(repo, tag).Digest }

// path is where a tag is if not at its name, or "".
func (s sitesDocument) path(repo, tag string) string { return s.tag(repo, tag).Path }

func (s sitesDocument) tag(repo, tag string) sitesTag {
	for _, r := range s.Repositories {
		for _, t := range r.Tags {
			if r.Name == repo && t.Name == tag {
				return t
			}
		}
	}
	return sitesTag{}
}

// sites reads the list of sites until it is as it should be.
func (n *nginx) sites(what string, holds func(sitesDocument) bool) sitesDocument {
	n.t.Helper()
	var s sitesDocument
	if !eventually(startLimit, func() bool {
		s = decode[sitesDocument](n.t, fetchOK(n.t, n.url+"/.regfs/sites.json"))
		return holds(s)
	}) {
		n.t.Fatalf("%s does not come: got %+v", what, s)
	}
	return s
}

func known(s sitesDocument) bool { return len(s.Repositories) > 0 && s.Pending == 0 }

// TestTheListOfSites reads what the page reads, through nginx.
func TestTheListOfSites(t *testing.T) {
	reg := startRegistry(t)
	v1 := smallSite().publish(t, reg.host, "my-app", "v1")
	changed := smallSite().with(site{"index.html": []byte("<h1>two</h1>"), "new.txt": []byte("new")})
	delete(changed, "404.html")
	images := bundle(t, changed.write(t), "v2", "--created", "2024-02-03T04:05:06Z")
	v2 := upload(t, images, reg.host, "my-app", "v2")
	smallSite().publish(t, reg.host, "team/docs", "v1")
	d := mount(t, reg.host, quick)
	web := startNginx(t, d.dir)

	unknown := fetchOK(t, web.url+"/.regfs/sites.json")
	s := web.sites("the list", known)
	if s.Version != 1 || s.Registry != reg.host || len(s.Repositories) != 2 {
		t.Errorf("got version %d, registry %q, %d repositories, want 1, %q, 2", s.Version, s.Registry, len(s.Repositories), reg.host)
	}
	if got := s.digest("my-app", "v1"); got != v1 || s.digest("team/docs", "v1") != v1 {
		t.Errorf("got %s and %s, want %s for both", got, s.digest("team/docs", "v1"), v1)
	}
	if size := reg.layer(t, "my-app", "v2").Size; s.Versions[v2].Size != size {
		t.Errorf("got size %d, want that of the layer, %d", s.Versions[v2].Size, size)
	}
	if c := s.Versions[v2].Created; c == nil || c.Format(time.RFC3339) != "2024-02-03T04:05:06Z" {
		t.Errorf("got created %v, want what bundle was told", c)
	}

	for digest, site := range map[string]site{v1: smallSite(), v2: changed} {
		if got := s.Versions[digest]; got.Files != len(site) || got.Bytes != site.bytes() {
			t.Errorf("got %d files of %d bytes, want %d of %d", got.Files, got.Bytes, len(site), site.bytes())
		}
	}

	if got := fetch(t, web.url+"/").header.Get("Content-Security-Policy"); got != "frame-ancestors 'none'" {
		t.Errorf("the page: got Content-Security-Policy %q beside its own, want that it may not be framed", got)
	}

	// It is the same until something changes.
	a := fetch(t, web.url+"/.regfs/sites.json")
	if again := fetch(t, web.url+"/.regfs/sites.json", "If-None-Match", a.header.Get("ETag")); again.status != http.StatusNotModified {
		t.Errorf("asked again: got %d, want 304", again.status)
	}
	if got := a.header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("got Cache-Control %q, want no-cache", got)
	}
	if got := a.header.Get("Content-Length"); got != strconv.Itoa(len(a.body)) {
		t.Errorf("got Content-Length %s of %d bytes", got, len(a.body))
	}
	v3 := smallSite().with(site{"index.html": []byte("three")}).publish(t, reg.host, "my-app", "v2")
	s = web.sites("the moved tag", func(s sitesDocument) bool { return s.digest("my-app", "v2") == v3 && known(s) })
	if again := fetch(t, web.url+"/.regfs/sites.json", "If-None-Match", a.header.Get("ETag")); again.status != http.StatusOK {
		t.Errorf("asked again after a tag moved: got %d, want 200", again.status)
	}

	smallSite().publish(t, reg.host, "my-app/v2", "deep") // hides the tag
	hidden := web.sites("the hidden tag", func(s sitesDocument) bool { return s.path("my-app", "v2") != "" && known(s) })
	if got, want := hidden.path("my-app", "v2"), "my-app:v2"; got != want {
		t.Errorf("a tag behind a repository: got path %q, want %q", got, want)
	}
	describes(t, "sites.schema.json", unknown, a.body, fetchOK(t, web.url+"/.regfs/sites.json"))

	t.Run("diff", func(t *testing.T) { testDiff(t, reg, web, d, s.Versions[v1].Manifest, s.Versions[v3].Manifest) })
	t.Run("start", func(t *testing.T) { testListWithoutRegistry(t, reg, web, d, v3) })
}

// bytes is what the files of a site have together.
func (s site) bytes() (sum int64) {
	for _, content := range s {
		sum += int64(len(content))
	}
	return sum
}

// testDiff compares the comparison for browsers with that of the command.
func testDiff(t *testing.T, reg *registry, web *nginx, d *daemon, from, to string) {
	path := fmt.Sprintf("/.regfs/diff/%s..%s.json", from, to)
	shown := decode[map[string]any](t, fetchOK(t, web.url+path))
	out := succeed(t, "", command(t, "regfs"), "diff", "--json", reg.host+"/my-app:v1", reg.host+"/my-app:v2")
	printed := decode[map[string]any](t, []byte(out))
	for _, field := range []string{"version", "totals", "changes", "omitted"} {
		got, _ := json.Marshal(shown[field])
		want, _ := json.Marshal(printed[field])
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the document has %s, the command prints %s", field, got, want)
		}
	}
	unknown := strings.Replace(path, from[:12], "sha256:00000", 1)
	if a := fetch(t, web.url+unknown); a.status != http.StatusNotFound {
		t.Errorf("%s: got %d, want 404", unknown, a.status)
	}
	if a := fetch(t, web.url+"/.regfs/diff/"); a.status != http.StatusNotFound {
		t.Errorf("the folder of comparisons: got %d, want 404", a.status)
	}
	if entries, err := os.ReadDir(d.path(".regfs/diff")); err != nil || len(entries) > 0 {
		t.Errorf("the folder of comparisons lists %v, %v, want nothing", entries, err)
	}
}

// testListWithoutRegistry starts the daemon again while the registry is away.
func testListWithoutRegistry(t *testing.T, reg *registry, web *nginx, d *daemon, v2 string) {
	d.unmountCleanly(t)
	reg.stop()
	for _, path := range []string{"/", "/.regfs/sites.json"} {
		if a := fetch(t, web.url+path); a.status != http.StatusServiceUnavailable {
			t.Errorf("%s while nothing is mounted: got %d, want 503", path, a.status)
		}
	}
	d.launch(t)
	s := web.sites("what was known", func(s sitesDocument) bool { return s.Problem != "" })
	describes(t, "sites.schema.json", fetchOK(t, web.url+"/.regfs/sites.json"))
	if got := s.digest("my-app", "v2"); got != v2 {
		t.Errorf("got %q, want %s", got, v2)
	}
}

// TestNewsReachTheListOfSites: what a registry sends word of is in the list soon,
// though nothing would be asked for an hour.
func TestNewsReachTheListOfSites(t *testing.T) {
	address := freeAddress(t)
	reg := startNotifying(t, address, notifySecret)
	d := mountNotified(t, reg.host, address)
	web := startNginx(t, d.dir)
	before, after := pair()
	before.publish(t, reg.host, "my-app", "v1")
	v2 := after.publish(t, reg.host, "my-app", "v2")
	web.sites("the new repository", func(s sitesDocument) bool { return s.digest("my-app", "v2") == v2 })
	reg.retag(t, "my-app", "v2", "v1")
	web.sites("the moved tag", func(s sitesDocument) bool { return s.digest("my-app", "v1") == v2 })
	reg.retag(t, "my-app", "v2", "v3")
	web.sites("the new tag", func(s sitesDocument) bool { return s.digest("my-app", "v3") == v2 })
}

// TestRegfsDiffReadsNoContents counts what comes from a real registry: of sites
// of many megabytes the tables of contents alone.
func TestRegfsDiffReadsNoContents(t *testing.T) {
	reg := startRegistry(t)
	files := manyFiles(100, 2000).with(site{"video.bin": noise(1, 20<<20)})
	files.publish(t, reg.host, "my-app", "v1")
	files.with(site{"d00/f0001.bin": noise(77, 2000)}).publish(t, reg.host, "my-app", "v2")
	link := startRelay(t, reg.host)
	out := succeed(t, "", command(t, "regfs"), "diff", "--registry", link.host, "my-app:v1", "my-app:v2")
	if !strings.HasPrefix(out, "~    2.0 kB  d00/f0001.bin  (+0 B)\n\n") || !strings.Contains(out, "1 file (2.0 kB) changed, 100 files (21.2 MB) the same") {
		t.Errorf("got\n%s", out)
	}
	tables := reg.layer(t, "my-app", "v1").tocSize(t) + reg.layer(t, "my-app", "v2").tocSize(t)
	if got := bytesOf(link.since(0, "blobs")); got == 0 || got > tables {
		t.Errorf("%d bytes of blobs came from the registry, want the tables of contents, %d", got, tables)
	}
	if got := link.since(0, "manifests"); len(got) != 2 {
		t.Errorf("got requests for manifests %+v, want one for each version", got)
	}
}

// TestNoIndexShowsNothing mounts without the list.
func TestNoIndexShowsNothing(t *testing.T) {
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host, "--no-index")
	web := startNginx(t, d.dir)
	fetchOK(t, web.url+"/my-app/v1/")
	for _, path := range []string{"/", "/.regfs/index.html", "/.regfs/sites.json", "/.regfs/front.js", "/.regfs/diff/x"} {
		if a := fetch(t, web.url+path); a.status != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, a.status)
		}
	}
	entries, err := os.ReadDir(d.path(".regfs"))
	must(t, err)
	for _, e := range entries {
		if e.Name() != "ready" && e.Name() != "status.json" {
			t.Errorf(".regfs lists %s", e.Name())
		}
	}
}

// hostileName would be an element and a script if it were not text.
const hostileName = `<img src=x onerror="document.title='owned'">.html`
