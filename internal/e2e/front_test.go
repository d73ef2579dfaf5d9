package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
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

// TestTheFrontPage opens the page of all sites in Chromium, uses it, and keeps
// pictures of it.
func TestTheFrontPage(t *testing.T) {
	reg := startRegistry(t)
	site{"index.html": []byte("one"), "css/site.css": noise(1, 3000), "old.txt": []byte("old")}.publish(t, reg.host, "my-app", "v1")
	v2 := site{"index.html": []byte("<title>two</title>"), "css/site.css": noise(1, 3000), hostileName: []byte("x"), "img/new.bin": noise(2, 50_000)}
	v2.publish(t, reg.host, "my-app", "v2")
	v2.publish(t, reg.host, "my-app", "latest")
	smallSite().publish(t, reg.host, "team/docs", "v1")
	d := mount(t, reg.host, quick)
	web := startNginx(t, d.dir)
	b := startBrowser(t)
	web.sites("the list", known)

	b.scheme("light")
	b.do(chromedp.Navigate(web.url+"/"), chromedp.WaitVisible(chromedp.CSS(`html[data-ready="true"] .versions`)))
	want := []string{"my-app latest v2", "my-app v1", "team/docs v1"}
	if got := b.rows(); !slices.Equal(got, want) {
		t.Errorf("got versions %q, want %q", got, want)
	}

	b.do(chromedp.Click(chromedp.CSS(`button.changes`)), chromedp.WaitVisible(chromedp.CSS(`.panel .totals`)))
	paths := ask(b, chromedp.Evaluate[[]string](`Array.from(document.querySelectorAll('.panel .files li'), li => Array.from(li.children, part => part.textContent).join(' '))`))
	if want := []string{"+ " + hostileName + " 1 B", "+ img/new.bin 50.0 kB", "~ index.html +15 B", "− old.txt 3 B"}; !slices.Equal(paths, want) {
		t.Errorf("got changes %q, want %q", paths, want)
	}
	if images := ask(b, chromedp.Evaluate[int](`document.images.length`)); images != 0 || ask(b, chromedp.Title()) == "owned" {
		t.Errorf("a name of a file became an element: %d images", images)
	}
	keep(t, "front-light.png", ask(b, chromedp.FullScreenshot(100)))
	b.scheme("dark")
	keep(t, "front-dark.png", ask(b, chromedp.FullScreenshot(100)))
	b.do(chromedp.EmulateViewport(390, 844))
	keep(t, "front-narrow.png", ask(b, chromedp.FullScreenshot(100)))
	if wide := ask(b, chromedp.Evaluate[int](`document.documentElement.scrollWidth`)); wide > 390 {
		t.Errorf("on a telephone the page is %d pixels wide, want no more than the screen's 390", wide)
	}
	b.do(chromedp.EmulateViewport(1200, 900))
	b.theme(t, web.url)

	t.Run("move", func(t *testing.T) {
		v3 := v2.with(site{"index.html": []byte("three")}).publish(t, reg.host, "my-app", "latest")
		b.do(chromedp.WaitVisible(chromedp.CSS(fmt.Sprintf(`a[href$="%s/"]`, "sha256%3A"+strings.TrimPrefix(v3, "sha256:")))))
		if got := b.rows()[0]; got != "my-app latest" {
			t.Errorf("the first version after latest moved: got %q, want it alone", got)
		}
	})
	t.Run("search", b.search)
	t.Run("names for all", b.named)
	t.Run("hidden", b.quietWhenHidden)
	if got := b.requests(); slices.ContainsFunc(got, func(url string) bool { return !strings.HasPrefix(url, web.url) && !strings.HasPrefix(url, "data:") }) {
		t.Errorf("the page asked others than its server: %q", got)
	}
	t.Run("own origin", b.ownOrigin)
}

// rows lists the versions that the page shows: repository and tags.
func (b *browser) rows() []string {
	b.t.Helper()
	return ask(b, chromedp.Evaluate[[]string](`Array.from(document.querySelectorAll('.versions > li'), li =>
		[li.closest('section').querySelector('h2').textContent, ...Array.from(li.querySelectorAll('.tag a:first-child'), a => a.textContent)].join(' '))`))
}

// scheme is what the visitor's system prefers.
func (b *browser) scheme(value string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
	})
	must(b.t, err)
}

// theme presses the button for light and dark, which is remembered.
func (b *browser) theme(t *testing.T, url string) {
	t.Helper()
	const paper = `getComputedStyle(document.documentElement).backgroundColor`
	dark := ask(b, chromedp.Evaluate[string](paper))
	b.do(chromedp.Click(chromedp.CSS(`#theme`)))
	light := ask(b, chromedp.Evaluate[string](paper))
	b.do(chromedp.Navigate(url+"/"), chromedp.WaitVisible(chromedp.CSS(`html[data-ready="true"] .versions`)))
	if again := ask(b, chromedp.Evaluate[string](paper)); light == dark || again != light {
		t.Errorf("the paper is %s, then %s, and after a reload %s; want the second kept", dark, light, again)
	}
}

func (b *browser) search(t *testing.T) {
	// A slash goes to the field and selects what is in it. The event comes from
	// here, as typing through the protocol takes no notice of preventDefault.
	const slash = `document.activeElement.blur(); document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '/', bubbles: true })); document.activeElement.id`
	for query, want := range map[string][]string{
		"docs": {"team/docs v1"}, "my-app v1": {"my-app v1"}, "team/docs:v1": {"team/docs v1"}, "nowhere": {},
	} {
		if got := ask(b, chromedp.Evaluate[string](slash)); got != "search" {
			t.Errorf("after a slash %q has the focus, want the field", got)
		}
		b.do(chromedp.KeyEvent(query))
		if got := b.rows(); !slices.Equal(got, want) {
			t.Errorf("search %q: got %q, want %q", query, got, want)
		}
	}
}

// ownOrigin follows the link of a version to the host that it has for itself.
func (b *browser) ownOrigin(t *testing.T) {
	b.do(chromedp.Click(chromedp.CSS(`section:last-of-type .own`)), chromedp.WaitVisible(chromedp.CSS(`h1`)))
	at := ask(b, chromedp.Location())
	if got := ask(b, chromedp.Text(chromedp.CSS(`h1`))); got != "small" || !strings.HasPrefix(at, "http://v1--team--docs.sites.localhost:") {
		t.Errorf("the link led to %s with the heading %q, want that of team/docs:v1", at, got)
	}
}

// named checks that whoever cannot see the page is told what each part does.
func (b *browser) named(t *testing.T) {
	b.do(chromedp.Evaluate[chromedp.Void](`(box => { box.value = ''; box.dispatchEvent(new Event('input')) })(document.getElementById('search'))`))
	const nameless = `Array.from(document.querySelectorAll('a, button, input, select, section'), node => [node, node.getAttribute('aria-label')
		?? document.getElementById(node.getAttribute('aria-labelledby'))?.textContent ?? node.closest('label')?.textContent ?? node.textContent])
		.filter(([node, name]) => name.trim() === '').map(([node]) => node.outerHTML)`
	if got := ask(b, chromedp.Evaluate[[]string](nameless)); len(got) > 0 {
		t.Errorf("got parts without a name: %q", got)
	}
}

// quietWhenHidden checks that a page in the background asks nothing, and asks at
// once when it is seen again.
func (b *browser) quietWhenHidden(t *testing.T) {
	lists := func() (n int) {
		for _, url := range b.requests() {
			if strings.HasSuffix(url, "/sites.json") {
				n++
			}
		}
		return n
	}
	hide := func(hidden bool) {
		b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(
			`Object.defineProperty(document, 'hidden', { value: %v, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))`, hidden)))
	}
	hide(true)
	time.Sleep(200 * time.Millisecond) // one may be under way
	before := lists()
	time.Sleep(2500 * time.Millisecond) // seen, it asks every second here
	if after := lists(); after != before {
		t.Errorf("hidden, the page asked %d times", after-before)
	}
	hide(false)
	if !eventually(startLimit, func() bool { return lists() > before }) {
		t.Error("the page did not ask when it was seen again")
	}
}

// TestTheFrontPageWith2000Tags measures the page with more than anybody reads,
// while it is not known yet that nearly all of them name the same.
func TestTheFrontPageWith2000Tags(t *testing.T) {
	const tags = 2000
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "my-app", "v1")
	reg.tagMany(t, "my-app", "v1", tags)
	d := mount(t, reg.host, quick)
	web := startNginx(t, d.dir)
	b := startBrowser(t)

	b.do(chromedp.Navigate(web.url+"/"), chromedp.WaitVisible(chromedp.CSS(`html[data-ready="true"] .versions`)))
	if !eventually(startLimit, func() bool { return strings.Contains(ask(b, chromedp.Text(chromedp.CSS("#state"))), "2,001 tags") }) {
		t.Fatalf("the page says %q", ask(b, chromedp.Text(chromedp.CSS("#state"))))
	}
	if n := ask(b, chromedp.Evaluate[int](`document.querySelectorAll('*').length`)); n > 1500 {
		t.Errorf("the page has %d elements, want few of what is not seen", n)
	}
	keep(t, "front-2000.png", ask(b, chromedp.CaptureScreenshot()))
	const find = `(() => { const box = document.getElementById('search'); const begin = performance.now();
		box.value = 'pr-1234'; box.dispatchEvent(new Event('input')); document.body.offsetHeight; return performance.now() - begin; })()`
	t.Logf("a search of %d tags took %.1f ms in the page, with layout", tags, ask(b, chromedp.Evaluate[float64](find)))
	if got := b.rows(); !slices.Equal(got, []string{"my-app pr-1234"}) {
		t.Errorf("search: got %q", got)
	}
	const navigation = `performance.getEntriesByType('resource').filter(e => e.name.endsWith('sites.json')).map(e => e.responseEnd - e.startTime)[0]`
	t.Logf("the first list came after %.1f ms; the daemon holds %s", ask(b, chromedp.Evaluate[float64](navigation)), rss(t, d))
}

// tagMany has n more tags, pr-0000 and so on, name what a tag does. It writes
// them into the registry's storage, as pushing takes a while.
func (r *registry) tagMany(t testing.TB, repo, tag string, n int) {
	t.Helper()
	tags := filepath.Join(r.data, "docker/registry/v2/repositories", repo, "_manifests/tags")
	link, err := os.ReadFile(filepath.Join(tags, tag, "current/link"))
	must(t, err)
	for i := range n {
		dir := filepath.Join(tags, fmt.Sprintf("pr-%04d", i), "current")
		must(t, os.MkdirAll(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "link"), link, 0o644))
	}
}

// rss is the daemon's memory, as the kernel writes it.
func rss(t testing.TB, d *daemon) string { return ofStatus(t, d, "VmRSS") }

// ofStatus is a line of what the kernel tells of the daemon.
func ofStatus(t testing.TB, d *daemon, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
