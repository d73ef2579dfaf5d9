package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

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
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		keep(t, "front-2000-"+scheme+".png", ask(b, chromedp.CaptureScreenshot()))
	}
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
