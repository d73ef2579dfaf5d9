package e2e

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// TestABrowserShowsTheSite opens the project's own site in Chromium, as a
// visitor would.
func TestABrowserShowsTheSite(t *testing.T) {
	reg := startRegistry(t)
	publishDir(t, filepath.Join(root, "app"), reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	b := startBrowser(t)

	b.do(chromedp.Navigate(web.url + "/my-app/v1/"))
	heading := ask(b, chromedp.Text(chromedp.CSS("h1")))
	// The script says when it has asked the server and shown the answers.
	b.do(chromedp.WaitVisible(chromedp.CSS(`#copy[data-ready="true"]`)))
	tag := ask(b, chromedp.Text(chromedp.CSS(`[data-show="tag"]`)))
	image := ask(b, chromedp.Evaluate[bool](`Array.from(document.images).every(i => i.complete && i.naturalWidth > 0)`))
	font := ask(b, chromedp.Evaluate[bool](
		`document.fonts.ready.then(fonts => Array.from(fonts).some(f => f.status == "loaded"))`, chromedp.EvalAwaitPromise))
	keep(t, "my-app-v1.png", ask(b, chromedp.FullScreenshot(100)))
	b.do(chromedp.Click(chromedp.CSS(`main ~ footer a[href="guide/"]`)),
		chromedp.WaitVisible(chromedp.CSS("main.page h1")))
	guide := ask(b, chromedp.Location())

	if want := "Every tag is a directory"; heading != want {
		t.Errorf("heading: got %q, want %q", heading, want)
	}
	if tag != "v1" {
		t.Errorf("the tag that the script shows: got %q, want %q", tag, "v1")
	}
	if !image || !font {
		t.Errorf("got images loaded %v, a font loaded %v, want both", image, font)
	}
	if want := web.url + "/my-app/v1/guide/"; guide != want {
		t.Errorf("the link into a folder led to %q, want %q", guide, want)
	}
	if len(b.requests()) < 6 {
		t.Errorf("got requests %q, want the page's parts too", b.requests())
	}
}

// keep writes an artifact of a test to where it outlives the run.
func keep(t testing.TB, name string, content []byte) {
	t.Helper()
	dir := filepath.Join(root, "test-artifacts")
	must(t, os.MkdirAll(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
}

// browser is a Chromium with one page. Whatever goes wrong in the page fails
// the test.
type browser struct {
	t   testing.TB
	ctx context.Context // of the page; chromedp keeps the page in it

	mu    sync.Mutex // guards what follows
	asked []string   // URLs of all requests
	coded []string   // of all answers: URL, a space, the content encoding
	urls  map[network.RequestID]string
	came  []received
	wrong []string
}

// received is what came over the wire for a request. It may be heard of before
// the request is.
type received struct {
	id     network.RequestID
	status int64
	ranged any // a string, or nil
}

// browserLimit is how long a test may have a browser. Those that take some ten
// seconds on an idle machine take a minute on one that runs everything.
const browserLimit = 3 * time.Minute

// startBrowser starts Chromium; it talks to nobody but the page's server.
func startBrowser(t testing.TB) *browser {
	t.Helper()
	need(t, "chromium")
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath("chromium"),
		chromedp.UserDataDir(newDir(t)),
		chromedp.NoSandbox, // which root may not have
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.WindowSize(1200, 900))
	ctx, cancel := context.WithTimeout(context.Background(), browserLimit) // t.Context ends before the cleanups
	t.Cleanup(cancel)
	allocator, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	b := &browser{t: t, urls: map[network.RequestID]string{}}
	page, _ := chromedp.NewContext(allocator, chromedp.WithListener(b.hear))
	b.ctx = page
	t.Cleanup(func() {
		if err := chromedp.Cancel(page); err != nil {
			t.Error(err)
		}
	})
	b.do() // starts it
	t.Cleanup(b.check)
	return b
}

// do does things in the page.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	must(b.t, chromedp.Do(b.ctx, steps...))
}

// ask asks the page for something.
func ask[T any](b *browser, question chromedp.Action[T]) T {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, question)
	must(b.t, err)
	return got
}

// hear notes what happens in the page: requests, and what is wrong.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, e.Request.URL)
		b.urls[e.RequestID] = e.Request.URL
	case *network.EventResponseReceivedExtraInfo:
		b.came = append(b.came, received{e.RequestID, e.StatusCode, e.Headers["Content-Range"]})
	case *network.EventLoadingFailed:
		// Leaving a page cancels answers that its script has not read to the end.
		if !e.Canceled {
			b.wrong = append(b.wrong, fmt.Sprintf("%s failed: %s", e.Type, e.ErrorText))
		}
	case *network.EventResponseReceived:
		b.coded = append(b.coded, fmt.Sprint(e.Response.URL, " ", e.Response.Headers["Content-Encoding"]))
		if e.Response.Status >= 400 && !isOwnIdea(e.Response.URL) {
			b.wrong = append(b.wrong, fmt.Sprintf("%s: status %d", e.Response.URL, e.Response.Status))
		}
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, "exception: "+e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			b.wrong = append(b.wrong, fmt.Sprintf("console.%s in the page", e.Type))
		}
	case *log.EventEntryAdded:
		if (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning) && !isOwnIdea(e.Entry.URL) {
			b.wrong = append(b.wrong, fmt.Sprintf("console: %s %s", e.Entry.Text, e.Entry.URL))
		}
	}
}

// isOwnIdea tells whether it was the browser that wanted something: it looks for
// an icon at the root of a server whose page names none.
func isOwnIdea(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Path == "/favicon.ico"
}

// requests lists the URLs that the page asked for.
func (b *browser) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

// wire lists what came over the wire since it was last asked for: status, range
// and URL. What the browser takes from its cache does not come; what it has asked
// about comes as 304.
func (b *browser) wire() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var came []string
	for _, r := range b.came {
		came = append(came, fmt.Sprintf("%d %v %s", r.status, r.ranged, b.urls[r.id]))
	}
	b.came = nil
	return came
}

// encodings lists the URLs of what came, each with its content encoding.
func (b *browser) encodings() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.coded)
}

// check fails the test for what went wrong in the page.
func (b *browser) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.wrong) > 0 {
		b.t.Errorf("in the page:\n%s", strings.Join(b.wrong, "\n"))
	}
}
