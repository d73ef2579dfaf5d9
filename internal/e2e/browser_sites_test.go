package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestABrowserUsesSites does in Chromium what visitors of sites do, with nothing
// wrong in any page.
func TestABrowserUsesSites(t *testing.T) {
	reg := startRegistry(t)
	publishApplication(t, reg.host)
	rootSite(t).publish(t, reg.host, "team/docs", "v3.1")
	workerSite("one").publish(t, reg.host, "worker", "v1")
	workerSite("two").publish(t, reg.host, "worker", "v2")
	site{"index.html": []byte(page(`<audio id="a" preload="metadata" src="tone.wav"></audio>`)), "tone.wav": tone()}.publish(t, reg.host, "media", "v1")
	movingSite("one").publish(t, reg.host, "moving", "live")
	d := mount(t, reg.host, quick)
	v := visitor{startBrowser(t), startNginx(t, d.dir)}

	v.useApplication(t)
	v.readRootSite(t, v.host("v3-1--team--docs"))
	v.readRootSite(t, v.path("team/docs/v3.1"))
	v.meetServiceWorkers(t)
	v.seek(t)
	v.seeMove(t, func() { movingSite("two").publish(t, reg.host, "moving", "live") })
}

// visitor is a browser and the server that it goes to, under names that browsers
// find by themselves.
type visitor struct {
	*browser
	web *nginx
}

func (v visitor) host(label string) string {
	return strings.Replace(v.web.url, "127.0.0.1", label+".sites.localhost", 1)
}

func (v visitor) path(site string) string {
	return strings.Replace(v.web.url, "127.0.0.1", "localhost", 1) + "/" + site
}

// text waits for an element to say something. While one page makes way for
// another there is nobody to ask.
func (v visitor) text(t *testing.T, selector, want string) {
	t.Helper()
	var got string
	var err error
	script := fmt.Sprintf(`document.querySelector(%q)?.textContent ?? document.documentElement.outerHTML`, selector)
	if !eventually(startLimit, func() bool {
		got, err = chromedp.Run(v.ctx, chromedp.Evaluate[string](script))
		return err == nil && got == want
	}) {
		t.Fatalf("%s at %s: got %.300q, want %q: %v", selector, ask(v.browser, chromedp.Location()), got, want, err)
	}
}

// answer gives what a promise in the page becomes.
func (v visitor) answer(script string) string {
	return ask(v.browser, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
}

// page is a page that asks for no favicon.
func page(body string) string {
	return `<!doctype html><meta charset="utf-8"><title>page</title><link rel="icon" href="data:,">` + body
}

// publishApplication publishes a single-page application with a router.
func publishApplication(t *testing.T, host string) {
	t.Helper()
	dir := site{
		"index.html": []byte(page(`<nav><a id="about" href="/about-us">about</a></nav><main></main><script src="/app.0a1b2c3d.js"></script>`)),
		"app.0a1b2c3d.js": []byte(`
			const show = () => { document.querySelector("main").textContent = "at " + location.pathname };
			document.querySelector("nav").addEventListener("click", event => {
				event.preventDefault();
				history.pushState({}, "", event.target.href);
				show();
			});
			addEventListener("popstate", show);
			show();`),
	}.write(t)
	upload(t, bundle(t, dir, "v1", "--spa"), host, "my-spa", "v1")
}

// useApplication follows a deep link, goes on, reloads and goes back.
func (v visitor) useApplication(t *testing.T) {
	t.Helper()
	v.do(chromedp.Navigate(v.host("v1--my-spa") + "/users/7"))
	v.text(t, "main", "at /users/7")
	v.do(chromedp.Click(chromedp.CSS("#about")))
	v.text(t, "main", "at /about-us")
	v.do(chromedp.Reload())
	v.text(t, "main", "at /about-us")
	v.do(chromedp.NavigateBack())
	v.text(t, "main", "at /users/7")
	if got := v.wire(); countSuffix(got, "/app.0a1b2c3d.js") != 1 {
		t.Errorf("a script whose name says its content came other than once: %q", got)
	}
}

func countSuffix(all []string, suffix string) (n int) {
	for _, s := range all {
		if strings.HasSuffix(s, suffix) {
			n++
		}
	}
	return n
}

// rootSite is a site that was made for the root of a server: every URL begins
// with a slash.
func rootSite(t *testing.T) site {
	t.Helper()
	font, err := os.ReadFile(filepath.Join(root, "app/fonts/mono.woff2"))
	must(t, err)
	body := `<link rel="stylesheet" href="/assets/site.css"><h1>%s</h1><p id="script"></p><img src="/img/dot.svg" alt="">` +
		`<a id="guide" href="/guide/">guide</a><a id="about" href="/about">about</a><script type="module" src="/assets/app.mjs"></script>`
	return site{
		"index.html":       fmt.Appendf(nil, page(body), "start"),
		"guide/index.html": fmt.Appendf(nil, page(body), "guide"),
		"about.html":       fmt.Appendf(nil, page(body), "about"),
		"assets/site.css":  []byte(`@font-face { font-family: own; src: url(/assets/own.woff2) } h1 { font-family: own; color: rgb(1, 2, 3) }`),
		"assets/own.woff2": font,
		"assets/app.mjs":   []byte(`import { text } from "/assets/text.mjs"; document.querySelector("#script").textContent = text;`),
		"assets/text.mjs":  []byte(`export const text = "the script ran";`),
		"img/dot.svg":      []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="4"/></svg>`),
	}
}

// readRootSite goes through its pages, and looks whether all their parts are
// there.
func (v visitor) readRootSite(t *testing.T, base string) {
	t.Helper()
	look := func(heading, at string) {
		t.Helper()
		v.text(t, "h1", heading)
		v.text(t, "#script", "the script ran")
		got := v.answer(`document.fonts.load("12px own").then(fonts => [
			getComputedStyle(document.querySelector("h1")).color,
			fonts.length,
			document.images[0].naturalWidth,
			location.href,
		].join(" | "))`)
		if want := "rgb(1, 2, 3) | 1 | 9 | " + at; got != want {
			t.Errorf("%s: got %q, want %q", heading, got, want)
		}
	}
	v.do(chromedp.Navigate(base + "/"))
	look("start", base+"/")
	v.do(chromedp.Click(chromedp.CSS("#guide")))
	look("guide", base+"/guide/")
	v.do(chromedp.Click(chromedp.CSS("#about")))
	look("about", base+"/about")
}

// workerSite is a version with a service worker that answers for all of its
// origin.
func workerSite(version string) site {
	return site{
		"index.html":  []byte(page("<h1>" + version + "</h1>")),
		"version.txt": []byte("file of " + version),
		"sw.js": []byte(`
			addEventListener("activate", event => event.waitUntil(clients.claim()));
			addEventListener("fetch", event => {
				if (event.request.url.endsWith("version.txt")) event.respondWith(new Response("worker of ` + version + `"));
			});`),
	}
}

// meetServiceWorkers lets one version have its worker and its storage, and sees
// that the other does not meet them.
func (v visitor) meetServiceWorkers(t *testing.T) {
	t.Helper()
	const ask = `fetch("/version.txt").then(r => r.text()).then(async text =>
		[text, localStorage.getItem("seen"), document.cookie, (await navigator.serviceWorker.getRegistrations()).length].join(" | "))`
	v.do(chromedp.Navigate(v.host("v1--worker") + "/"))
	v.text(t, "h1", "one")
	first := v.answer(`(async () => {
		localStorage.setItem("seen", "by one");
		document.cookie = "seen=one";
		const changed = new Promise(done => navigator.serviceWorker.addEventListener("controllerchange", done));
		await navigator.serviceWorker.register("/sw.js");
		await changed;
		return ` + ask + `;
	})()`)
	if want := "worker of one | by one | seen=one | 1"; first != want {
		t.Errorf("the version with a worker: got %q, want %q", first, want)
	}
	v.do(chromedp.Navigate(v.host("v2--worker") + "/"))
	v.text(t, "h1", "two")
	if got, want := v.answer(ask), "file of two |  |  | 0"; got != want {
		t.Errorf("the other version: got %q, want %q", got, want)
	}
	v.do(chromedp.Navigate(v.host("v1--worker") + "/"))
	v.text(t, "h1", "one")
	if got, want := v.answer(ask), "worker of one | by one | seen=one | 1"; got != want {
		t.Errorf("the first version again: got %q, want %q", got, want)
	}
}

// tone is an hour of sound: 8-bit samples, 8000 a second, of which no two
// seconds are the same. Source: the RIFF WAVE format, "fmt " and "data" chunks.
func tone() []byte {
	const rate, seconds = 8000, 3600
	b := []byte("RIFF")
	b = binary.LittleEndian.AppendUint32(b, 36+rate*seconds)
	b = append(b, "WAVEfmt "...)
	for _, v := range []uint32{16, 1 | 1<<16, rate, rate, 1 | 8<<16} { // size; PCM, mono; rate; bytes a second; block of 1, 8 bits
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), rate*seconds)
	return append(b, noise(7, rate*seconds)...)
}

// seek jumps to the end of a long recording, of which the browser then loads the
// end and not what is between.
func (v visitor) seek(t *testing.T) {
	t.Helper()
	v.do(chromedp.Navigate(v.path("media/v1/")))
	got := v.answer(`new Promise((done, failed) => {
		const audio = document.querySelector("audio");
		const seek = () => { audio.currentTime = 3500 };
		audio.onseeked = () => done(Math.round(audio.duration) + " " + Math.round(audio.currentTime));
		audio.onerror = () => failed(audio.error.message);
		audio.readyState > 0 ? seek() : audio.onloadedmetadata = seek;
	})`)
	if got != "3600 3500" {
		t.Errorf("length and place after a seek: got %q", got)
	}
	came := v.wire()
	late := regexp.MustCompile(`^206 bytes 2[78]\d{6}-\d+/28800044 .*tone\.wav$`)
	if !slices.ContainsFunc(came, late.MatchString) {
		t.Errorf("no range of the end came: %q", came)
	}
}

// movingSite is what a tag names, once and later.
func movingSite(version string) site {
	return site{
		"index.html":    []byte(page(`<link rel="stylesheet" href="same.css"><link rel="stylesheet" href="other.css"><h1>` + version + `</h1>`)),
		"same.css":      []byte("h1 { color: teal }"),
		"other.css":     []byte("h1 { --version: " + version + " }"),
		"unchanged.txt": []byte("x"),
	}
}

// seeMove reloads a page whose tag has moved: what changed comes, and of what did
// not only that it did not.
func (v visitor) seeMove(t *testing.T, move func()) {
	t.Helper()
	address := v.path("moving/live/")
	v.do(chromedp.Navigate(address))
	v.text(t, "h1", "one")
	move()
	if !eventually(startLimit, func() bool { return strings.Contains(string(fetchOK(t, v.web.url+"/moving/live/")), "two") }) {
		t.Fatal("the move was not seen")
	}
	v.wire()
	v.do(chromedp.Reload())
	v.text(t, "h1", "two")
	var came []string
	for _, s := range v.wire() {
		if status, name, ok := strings.Cut(s, "<nil> "+address); ok {
			came = append(came, status+name)
		}
	}
	slices.Sort(came)
	if want := []string{"200 ", "200 other.css", "304 same.css"}; !slices.Equal(came, want) {
		t.Errorf("a reload got %q, want %q", came, want)
	}
}
