package site

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/regfs/regfs/internal/tree"
)

// largeFiles is how many files a largeSite has.
const largeFiles = 400

// largeSite is a site of files of 10 kB, in folders of ten.
func largeSite() map[string]string {
	files := map[string]string{}
	for i := range largeFiles {
		files[fileOf(i)] = noise(10<<10, byte(i)) + fmt.Sprint(i)
	}
	return files
}

func fileOf(i int) string { return fmt.Sprintf("d%02d/f%03d", i/10, i) }

// openLarge makes a loader to which every layer is a large one.
func (w *world) openLarge() *Loader {
	l, _ := w.open(w.T.TempDir())
	l.wholeBlob = 0
	return l
}

// newLargeSite makes a world with that site, and opens it with such a loader.
func newLargeSite(t *testing.T) (w *world, files map[string]string, s *Site) {
	t.Helper()
	w, files = newWorld(t), largeSite()
	w.Publish("app", "v1", files)
	return w, files, w.site(w.openLarge(), "app", "v1")
}

// inOrder are the names of files, in the order in which a layer has them.
func inOrder(files map[string]string) []string {
	return slices.Sorted(maps.Keys(files))
}

func local(t *testing.T, s *Site, path string) bool {
	t.Helper()
	n, ok := s.Tree.Walk(tree.Root, path, true)
	if !ok {
		t.Fatalf("%s: not there", path)
	}
	return s.Local(n)
}

func TestGoingThroughALayerTakesFewRequests(t *testing.T) {
	w, files, s := newLargeSite(t)
	requests, sent := w.Since(func() {
		for _, name := range inOrder(files) {
			wantRead(t, s, name, files[name])
		}
	})
	if len(requests) > 20 || sent > largeFiles*(11<<10) {
		t.Errorf("got %d requests for %d bytes, want few, and nothing twice", len(requests), sent)
	}
}

func TestAVersionInUseIsCompleted(t *testing.T) {
	w := newWorld(t)
	files := largeSite()
	files["media/video"] = noise(9<<20, 1)
	w.Publish("app", "v1", files)
	l := w.openLarge()
	s := w.site(l, "app", "v1")
	for i := range inUse - 1 {
		wantRead(t, s, fileOf(20*i), files[fileOf(20*i)])
	}
	if s.demands.Load() != inUse-1 {
		t.Fatalf("got %d fetches, want %d", s.demands.Load(), inUse-1)
	}
	if local(t, s, fileOf(399)) {
		t.Error("a version of which little was read was fetched")
	}
	wantRead(t, s, fileOf(350), files[fileOf(350)])
	eventually(t, "the version is here", func() bool {
		for name := range files {
			if name != "media/video" && !local(t, s, name) {
				return false
			}
		}
		return true
	})
	if local(t, s, "media/video") {
		t.Error("a large file was fetched that nobody asked for")
	}
}

func TestAPageBringsItsAssets(t *testing.T) {
	w := newWorld(t)
	files := largeSite()
	files["docs/page.html"] = `<!doctype html><html><head><link rel="stylesheet" href="../d05/f055?v=1"><link rel=next href="../d08/f085">
		<script src="/d12/f125"></script></head><body><img src="../d20/f205"><img src="//other/d24/f245"><a href="../d30/f305">x</a></body></html>`
	w.Publish("app", "v1", files)
	l := w.openLarge()
	s := w.site(l, "app", "v1")
	wantRead(t, s, "docs/page.html", files["docs/page.html"])
	n, _ := s.Tree.Walk(tree.Root, "docs/page.html", true)
	if err := s.Ready(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	s.fetchPage(n) // Ready does so for a page that it had to wait for
	eventually(t, "the assets are here", func() bool {
		return local(t, s, "d05/f055") && local(t, s, "d12/f125") && local(t, s, "d20/f205")
	})
	for _, other := range []string{"d08/f085", "d24/f245", "d30/f305"} {
		if local(t, s, other) {
			t.Errorf("%s was fetched, which no browser would", other)
		}
	}
}

func TestReadyOfAPageFetchesItsAssets(t *testing.T) {
	w := newWorld(t)
	files := largeSite()
	files["page.html"] = `<img src="d20/f205">`
	w.Publish("app", "v1", files)
	l := w.openLarge()
	s := w.site(l, "app", "v1")
	n, _ := s.Tree.Walk(tree.Root, "page.html", true)
	if err := s.Ready(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the image is here", func() bool { return local(t, s, "d20/f205") })
}

func TestAVideoIsReadFromTheMiddle(t *testing.T) {
	w := newWorld(t)
	video := noise(40<<20, 1)
	w.Publish("app", "v1", map[string]string{"video": video})
	l := w.openLarge()
	s := w.site(l, "app", "v1")
	n, _ := s.Tree.Lookup(tree.Root, "video")
	_, sent := w.Since(func() {
		p := make([]byte, 1<<20)
		for off := 21 << 20; off < 30<<20; off += len(p) {
			if _, err := s.ReadAt(t.Context(), n, p, int64(off)); err != nil || string(p) != video[off:off+len(p)] {
				t.Fatalf("at %d: other bytes, %v", off, err)
			}
		}
	})
	if sent > 13<<20 {
		t.Errorf("got %d bytes for 9 MiB in the middle, want three chunks", sent)
	}
}

func TestADeadLayerLeavesRoomForOthers(t *testing.T) {
	w := newWorld(t)
	files := largeSite()
	w.Publish("dead", "v1", files)
	files[fileOf(0)] = "other"
	w.Publish("alive", "v1", files)
	l := w.openLarge()
	dead, alive := w.site(l, "dead", "v1"), w.site(l, "alive", "v1")
	hold := make(chan struct{})
	w.SetAnswer(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/v2/dead/blobs/") {
			<-hold
		}
		return false
	})
	ctx, cancel := context.WithCancel(t.Context())
	stuck := make(chan error, 100)
	for i := range cap(stuck) {
		go func() {
			n, _ := dead.Tree.Walk(tree.Root, fileOf(i*4), true)
			stuck <- dead.Ready(ctx, n)
		}()
	}
	eventually(t, "requests for the dead layer hang", func() bool {
		return len(slices.DeleteFunc(w.Requests(), func(r string) bool { return !strings.HasPrefix(r, "GET /v2/dead/blobs/") })) >= requestsPerBlob
	})
	for i := 15; i < largeFiles; i += 30 {
		n, _ := alive.Tree.Walk(tree.Root, fileOf(i), true)
		if err := alive.Ready(t.Context(), n); err != nil {
			t.Error(err)
		}
	}
	cancel()
	for range cap(stuck) {
		<-stuck
	}
	close(hold)
	eventually(t, "all requests have ended", func() bool {
		dead.content.fetches.mu.Lock()
		defer dead.content.fetches.mu.Unlock()
		return len(dead.content.fetches.calls)+len(dead.content.fetches.blobs) == 0
	})
}

func TestAssetsAreWhatABrowserLoadsByItself(t *testing.T) {
	page := `<base href="x"><script src=a.js></script><link rel="Preload Stylesheet" href=" b.css "><link rel=canonical href=c>
		<img src='d.png' srcset="e.png 2x"><a href=f><video src=g></video><!-- <img src=h> --><img alt=i><script>"<img src=j>"</script>`
	if got, want := fmt.Sprint(assets([]byte(page))), "[a.js b.css d.png]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := len(assets([]byte(strings.Repeat("<img src=x>", 1000)))); got != maxAssets {
		t.Errorf("got %d assets, want %d at most", got, maxAssets)
	}
}

func FuzzAssets(f *testing.F) {
	f.Add([]byte(`<script src=a.js></script><link rel=icon href="%zz">`))
	f.Fuzz(func(t *testing.T, page []byte) {
		if got := len(assets(page)); got > maxAssets {
			t.Errorf("got %d", got)
		}
	})
}
