package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// The bounds of a list, as docs/registries.md has them.
const (
	listPages = 1000
	listNames = 100_000
)

// lie is a way to answer who asks for a list. The answers are the same for tags
// and for repositories; each reader takes what is meant for it.
type lie struct {
	name   string
	answer func(w http.ResponseWriter, req *http.Request, asked int)
	shown  []string // the names in it that are shown
	most   int      // requests
	broken bool     // it is no list: what is known is shown
}

// listed writes a page, and where the next one is unless that is "".
func listed(w http.ResponseWriter, next string, names ...string) {
	if next != "" {
		w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, next))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"name": "my-app", "tags": names, "repositories": names})
}

// linked is a lie about what comes next.
func linked(name string, most int, next func(req *http.Request, asked int) string) lie {
	return lie{name, func(w http.ResponseWriter, req *http.Request, asked int) {
		listed(w, next(req, asked), "b", "a")
	}, []string{"a", "b"}, most, false}
}

// lies are those of registries, and of whoever answers in their place. The
// stranger's is an address that no list may lead to.
func lies(stranger string) []lie {
	text := func(text string) func(http.ResponseWriter, *http.Request, int) {
		return func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = io.WriteString(w, text) }
	}
	return []lie{
		linked("always one more page", listPages, func(_ *http.Request, asked int) string { return fmt.Sprintf("?last=%d", asked) }),
		linked("the same page again", 2, func(*http.Request, int) string { return "?last=b" }),
		linked("in a circle", 4, func(_ *http.Request, asked int) string { return fmt.Sprintf("?last=%d", asked%3) }),
		linked("on another host", 1, func(req *http.Request, _ int) string { return stranger + req.URL.Path + "?last=b" }),
		linked("on another host, without a scheme", 1, func(req *http.Request, _ int) string {
			return strings.TrimPrefix(stranger, "http:") + req.URL.Path + "?last=b"
		}),
		linked("no address", 1, func(*http.Request, int) string { return "http://[::1/%zz" }),
		{"null", text(`{"name": "my-app", "tags": null, "repositories": null}`), nil, 1, false},
		{"not sorted, twice, no names", text(`{"name": "my-app", "tags": ["b", "../x", "a", "", "b", ".", "c d", "a/b/..", "ü"],
			"repositories": ["b", "../x", "a", "", "b", ".", "c d", "A", "_catalog", "169.254.169.254/..", "ü"]}`), []string{"a", "b"}, 1, false},
		{"a page to log in", text("<html>please log in</html>"), nil, 1, true},
		{"longer than any list", func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = w.Write(make([]byte, 10<<20)) }, nil, 1, true},
		{"more names than are remembered", func(w http.ResponseWriter, _ *http.Request, _ int) { listed(w, "", manyNames(2*listNames)...) },
			manyNames(listNames), 1, false},
	}
}

// manyNames are n names in order.
func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("n%06d", i)
	}
	return names
}

// listOf matches requests for all of a list, not those that only want to know
// whether there is one.
func listOf(path string) func(*http.Request) bool {
	return func(req *http.Request) bool {
		return strings.HasSuffix(req.URL.Path, path) && req.URL.Query().Get("n") != "1"
	}
}

// TestListsThatLieEnd lists the tags of a repository, and the repositories, while
// the registry says what no list can be. What is known stays, the right names are
// shown, after a bounded number of requests, none of them to somebody else.
func TestListsThatLieEnd(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { t.Errorf("a list led to %s", req.Host) }))
	t.Cleanup(stranger.Close)
	var rows sync.WaitGroup
	defer rows.Wait()
	slots := make(chan struct{}, 3)
	for _, l := range lies(stranger.URL) {
		slots <- struct{}{}
		rows.Go(func() {
			defer func() { <-slots }()
			t.Run(l.name, func(t *testing.T) { l.try(t, reg, s) })
		})
	}
}

func (l lie) try(t *testing.T, reg *registry, s site) {
	proxy := startFaultProxy(t, reg.host)
	d := mount(t, proxy.host(), never)
	wantFile(t, d.path("my-app/v1/index.html"), s["index.html"])
	r := l.spoil(proxy, "/my-app/tags/list")
	if l.broken {
		wantNames(t, d.path("my-app"), []string{"v1"})
	} else {
		wantNames(t, d.path("my-app"), l.shown)
	}
	if got := len(proxy.seen(r)); got < 1 || got > l.most {
		t.Errorf("tags: got %d requests, want 1 to %d", got, l.most)
	}
	proxy.heal()
	if _, err := os.Stat(d.path("my-app/v2")); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a tag that no list has: got %v, want %v", err, syscall.ENOENT)
	}

	other := *d // the list of repositories is read at the start
	other.dir, other.cache = newDir(t), newDir(t)
	r = l.spoil(proxy, "/_catalog")
	other.launch(t)
	wantFile(t, other.path("my-app/v1/index.html"), s["index.html"])
	wantNames(t, other.path(), append([]string{"my-app"}, l.shown...)) // a catalog need not be complete
	if got := len(proxy.seen(r)); got > 2*l.most {                     // at the start, and when it is looked at
		t.Errorf("repositories: got %d requests, want at most %d", got, 2*l.most)
	}
}

// spoil has the proxy lie about one list.
func (l lie) spoil(proxy *faultProxy, path string) *rule {
	var asked atomic.Int64
	return proxy.spoil(listOf(path), 0, func(w http.ResponseWriter, req *http.Request, _ *faultProxy) {
		l.answer(w, req, int(asked.Add(1)))
	})
}

// wantNames lists a folder, which has these names, each once.
func wantNames(t *testing.T, dir string, want []string) {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	defer f.Close()
	got, err := f.Readdirnames(-1)
	must(t, err)
	slices.Sort(got)
	slices.Sort(want)
	if want = want[:min(len(want), listNames)]; !slices.Equal(got, want) {
		t.Errorf("%s: got %d names %q, want %d %q", dir, len(got), got[:min(len(got), 5)], len(want), want[:min(len(want), 5)])
	}
}

// TestALookupWaitsForNoList: a registry that never ends its lists keeps nobody from
// a name that it knows.
func TestALookupWaitsForNoList(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	s.publish(t, reg.host, "other", "v1")
	proxy := startFaultProxy(t, reg.host)
	lists := func(req *http.Request) bool { return listOf("/tags/list")(req) || listOf("/_catalog")(req) }
	r := proxy.spoil(lists, 0, silence)
	d := mount(t, proxy.host(), never)
	var readers sync.WaitGroup
	defer readers.Wait()
	for _, dir := range []string{"", "my-app"} {
		readers.Go(func() { _, _ = os.ReadDir(d.path(dir)) })
	}
	if !eventually(startLimit, func() bool { return len(proxy.seen(r)) >= 1 }) {
		t.Fatal("nobody asks for a list")
	}
	for _, name := range []string{"my-app", "other"} { // who waited would hear EIO after two seconds
		if _, err := os.Stat(d.path(name, "v1")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantSite(t, d.path("my-app/v1"), s)
	proxy.heal()
	proxy.CloseClientConnections() // who waits asks again
}
