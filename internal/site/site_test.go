package site

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"go.uber.org/goleak"

	"github.com/regfs/regfs/internal/bundle"
	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// world is a registry in this process, with its requests counted, and the means
// to publish sites in it.
type world struct {
	t      testing.TB
	server *httptest.Server
	client *registry.Client

	mu       sync.Mutex
	requests []string // "GET /v2/…" of what the namespace asked
	sent     int64    // bytes of blobs
	down     bool
	answer   func(w http.ResponseWriter, r *http.Request) bool // in place of the registry's, if true
}

func newWorld(t testing.TB) *world {
	w := &world{t: t}
	inner := ggcr.New(ggcr.Logger(slog.NewLogLogger(slog.DiscardHandler, 0)))
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") == "publisher" {
			inner.ServeHTTP(rw, r)
			return
		}
		w.mu.Lock()
		w.requests = append(w.requests, r.Method+" "+r.URL.Path)
		down, answer := w.down, w.answer
		w.mu.Unlock()
		switch {
		case down:
			panic(http.ErrAbortHandler) // the connection breaks
		case answer != nil && answer(rw, r):
			return
		}
		inner.ServeHTTP(&countingWriter{rw, w, strings.Contains(r.URL.Path, "/blobs/")}, r)
	}))
	t.Cleanup(w.server.Close)
	w.client = w.newClient()
	return w
}

func (w *world) newClient(options ...registry.Option) *registry.Client {
	w.t.Helper()
	c, err := registry.New(w.server.URL, options...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.CloseIdle)
	return c
}

type countingWriter struct {
	http.ResponseWriter
	w     *world
	count bool
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if c.count {
		c.w.mu.Lock()
		c.w.sent += int64(len(p))
		c.w.mu.Unlock()
	}
	return c.ResponseWriter.Write(p)
}

// since runs f and gives the requests and bytes of blobs that it took.
func (w *world) since(f func()) ([]string, int64) {
	w.mu.Lock()
	w.requests, w.sent = nil, 0
	w.mu.Unlock()
	f()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests), w.sent
}

func (w *world) setDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

func (w *world) setAnswer(f func(http.ResponseWriter, *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

// publish packs files and pushes them as repo:tag.
func (w *world) publish(repo, tag string, files map[string]string) {
	w.t.Helper()
	w.publishAs(repo, bundle.Options{Version: tag}, files)
}

// publishAs packs files as the options say.
func (w *world) publishAs(repo string, o bundle.Options, files map[string]string) {
	w.t.Helper()
	dir := w.t.TempDir()
	o.Dir, o.Out, o.Format = dir, w.t.TempDir(), bundle.FormatDual
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	result, err := bundle.Write(context.Background(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.newClient(registry.WithUserAgent("publisher")).Push(context.Background(), result.Path, repo, o.Version, nil); err != nil {
		w.t.Fatal(err)
	}
}

// open starts a namespace on a store in dir.
func (w *world) open(dir string, refresh time.Duration, repos ...string) *Live {
	w.t.Helper()
	store, err := cache.Open(dir, 1<<30)
	if err != nil {
		w.t.Fatal(err)
	}
	live := Open(Options{Registry: w.client, Store: store, Refresh: refresh, Repositories: repos})
	w.t.Cleanup(func() {
		live.Close()
		store.Close()
	})
	return live
}

// bytesOf reads a site's files as tree.Content.
type bytesOf struct{ *Site }

func (b bytesOf) ReadAt(n tree.Node, p []byte, off int64) (int, error) {
	return b.Site.ReadAt(context.Background(), n, p, off)
}

// read gives a file of what a name in the mount is, or the error.
func read(l *Live, dir, name, file string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	e, err := l.Lookup(ctx, dir, name)
	if err != nil {
		return "", err
	}
	if e.Site == nil {
		return "", errors.New("a folder")
	}
	data, err := fs.ReadFile(e.Site.Tree.FS(bytesOf{e.Site}), file)
	return string(data), err
}

func wantRead(t testing.TB, l *Live, dir, name, file, want string) {
	t.Helper()
	if got, err := read(l, dir, name, file); got != want || err != nil {
		t.Errorf("%s/%s/%s: got %.40q, %v; want %.40q", dir, name, file, got, err, want)
	}
}

func wantError(t testing.TB, l *Live, dir, name string, want error) {
	t.Helper()
	if _, err := read(l, dir, name, "x"); !errors.Is(err, want) {
		t.Errorf("%s/%s: got %v, want %v", dir, name, err, want)
	}
}

// eventually waits until ok, which it asks again and again.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func noise(size int, seed byte) string {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return string(b)
}

func TestSitesAreFileSystems(t *testing.T) {
	w := newWorld(t)
	w.publish("my-app", "v1", map[string]string{"index.html": "hello", "css/a.css": "a", "big": noise(30<<10, 1)})
	l := w.open(t.TempDir(), time.Minute)
	e, err := l.Lookup(context.Background(), "my-app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(e.Site.Tree.FS(bytesOf{e.Site}), "index.html", "css/a.css", "big"); err != nil {
		t.Error(err)
	}
}

func TestNamesOfTags(t *testing.T) {
	w := newWorld(t)
	w.publish("team/docs", "v3", map[string]string{"f": "docs"})
	w.publish("a", "b", map[string]string{"f": "tag b of a"})
	w.publish("a/b", "v1", map[string]string{"f": "a/b"})
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	e, err := l.Lookup(context.Background(), "team/docs", "v3")
	if err != nil {
		t.Fatal(err)
	}
	wantRead(t, l, "team/docs", "v3", "f", "docs")
	wantRead(t, l, "team", "docs:v3", "f", "docs")
	wantRead(t, l, "team", "docs@v3", "f", "docs")
	wantRead(t, l, "team", "docs@"+e.Site.Digest.String(), "f", "docs")
	wantRead(t, l, "", "a:b", "f", "tag b of a")
	wantRead(t, l, "a/b", "v1", "f", "a/b")
	for _, folder := range [][2]string{{"", "team"}, {"team", "docs"}, {"a", "b"}} {
		if e, err := l.Lookup(context.Background(), folder[0], folder[1]); err != nil || e.Site != nil {
			t.Errorf("%q: got %+v, %v; want a folder", folder, e, err)
		}
	}
	for dir, want := range map[string]string{"": "[a team]", "a": "[b]", "team": "[docs]", "team/docs": "[v3]", "a/b": "[v1]"} {
		if got, err := l.List(context.Background(), dir); err != nil || fmt.Sprint(union(got, nil)) != want {
			t.Errorf("list of %q: got %v, %v; want %v", dir, got, err, want)
		}
	}
}

func TestNamesThatCannotExistCostNoRequest(t *testing.T) {
	w := newWorld(t)
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	requests, _ := w.since(func() {
		for _, name := range [][2]string{
			{"", ".env"}, {"", "UPPER"}, {"", "a b"}, {"", strings.Repeat("a", 256)}, {"my-app", "-x"}, {"", "a@sha256:xyz"},
			{"", "a:.."}, {"", ".well-known"}, {"my-app", "é"}, {"", "a\x00b"}, {"my-app", strings.Repeat("T", 129)}, {"", "\xff"},
		} {
			wantError(t, l, name[0], name[1], fs.ErrNotExist)
		}
	})
	if len(requests) > 0 {
		t.Errorf("got requests %q, want none", requests)
	}
}

func TestUnknownNamesAreAskedForOnceAndThenRemembered(t *testing.T) {
	w := newWorld(t)
	w.publish("my-app", "v1", map[string]string{"f": "x"})
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	requests, _ := w.since(func() {
		for range 20 {
			wantError(t, l, "", "nothing", fs.ErrNotExist)
		}
	})
	if len(requests) > 2 { // two if the second in which it is remembered has passed
		t.Errorf("got %d requests %q, want 1", len(requests), requests)
	}
	w.publish("nothing", "v1", map[string]string{"f": "now"})
	eventually(t, "a new repository is seen", func() bool {
		got, _ := read(l, "nothing", "v1", "f")
		return got == "now"
	})
}

func TestAFolderAboveANewRepositoryShowsUp(t *testing.T) {
	w := newWorld(t)
	l := w.open(t.TempDir(), 100*time.Millisecond)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	wantError(t, l, "", "new", fs.ErrNotExist)
	w.publish("new/deep/repo", "v1", map[string]string{"f": "x"})
	eventually(t, "the folder is there", func() bool {
		e, err := l.Lookup(context.Background(), "", "new")
		return err == nil && e.Site == nil
	})
	wantRead(t, l, "new/deep/repo", "v1", "f", "x")
}

func TestARegistryThatIsAwaySaysNothing(t *testing.T) {
	w := newWorld(t)
	w.publish("my-app", "v1", map[string]string{"f": "x", "g": noise(100, 1)})
	dir := t.TempDir()
	l := w.open(dir, 100*time.Millisecond)
	wantRead(t, l, "my-app", "v1", "f", "x")
	w.setDown(true)
	wantError(t, l, "my-app", "v2", registry.ErrUnavailable)
	wantError(t, l, "", "other", registry.ErrUnavailable)
	eventually(t, "the tag is too old", func() bool { return l.Status().Problem != "" })
	wantRead(t, l, "my-app", "v1", "f", "x")
	if s := l.Status(); s.Healthy {
		t.Errorf("got healthy, want degraded: %+v", s)
	}
	w.setDown(false)
	eventually(t, "the registry is back", func() bool {
		_, err := read(l, "my-app", "v2", "f")
		return errors.Is(err, fs.ErrNotExist)
	})
	eventually(t, "all is well again", func() bool {
		_, _ = read(l, "my-app", "v1", "f")
		return l.Status().Healthy
	})
}

func TestWhatWasSeenIsServedAfterAStartWithoutTheRegistry(t *testing.T) {
	w := newWorld(t)
	w.publish("team/docs", "v1", map[string]string{"f": "x"})
	dir := t.TempDir()
	store, err := cache.Open(dir, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	first := Open(Options{Registry: w.client, Store: store, Refresh: time.Minute})
	wantRead(t, first, "team/docs", "v1", "f", "x")
	e, err := first.Lookup(context.Background(), "team/docs", "v1")
	if err != nil {
		t.Fatal(err)
	}
	pinned := "docs@" + e.Site.Digest.String()
	wantRead(t, first, "team", pinned, "f", "x")
	first.Close()
	store.Close()

	w.setDown(true)
	l := w.open(dir, time.Minute)
	wantRead(t, l, "team/docs", "v1", "f", "x")
	wantRead(t, l, "team", pinned, "f", "x")
	if e, err := l.Lookup(context.Background(), "", "team"); err != nil || e.Site != nil {
		t.Errorf("team: got %+v, %v; want a folder", e, err)
	}
	if got, err := l.List(context.Background(), "team/docs"); err != nil || fmt.Sprint(got) != "[v1]" {
		t.Errorf("list: got %v, %v; want v1", got, err)
	}
	wantError(t, l, "team/docs", "v2", registry.ErrUnavailable)
}

func TestAMovedTagIsFollowedAndAnnounced(t *testing.T) {
	w := newWorld(t)
	w.publish("team/app", "live", map[string]string{"f": "one"})
	l := w.open(t.TempDir(), 100*time.Millisecond)
	var mu sync.Mutex
	var changed []string
	l.OnChange(func(dir, name string) {
		mu.Lock()
		defer mu.Unlock()
		changed = append(changed, dir+"|"+name)
	})
	wantRead(t, l, "team/app", "live", "f", "one")
	before, err := l.Lookup(context.Background(), "team/app", "live")
	if err != nil {
		t.Fatal(err)
	}
	w.publish("team/app", "live", map[string]string{"f": "two"})
	eventually(t, "the move is announced", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(changed) == 4
	})
	if got, want := fmt.Sprint(changed), "[team/app|live team|app:live team|app@live .regfs/hosts|live--team--app]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wantRead(t, l, "team/app", "live", "f", "two")
	got, err := fs.ReadFile(before.Site.Tree.FS(bytesOf{before.Site}), "f")
	if string(got) != "one" || err != nil {
		t.Errorf("the old version: got %q, %v; want %q", got, err, "one")
	}
}

func TestIdleSitesAreLetGoOfAndComeBack(t *testing.T) {
	w := newWorld(t)
	w.publish("app", "v1", map[string]string{"f": "x"})
	l := w.open(t.TempDir(), time.Minute)
	wantRead(t, l, "app", "v1", "f", "x")
	r := ref{"app", "v1"}
	l.mu.Lock()
	l.tags[r].used = time.Now().Add(-2 * idleAfter)
	l.mu.Unlock()
	eventually(t, "the idle site is let go of", func() bool { // once its tree is kept
		l.dropIdle()
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.tags[r].site == nil
	})
	w.setDown(true)
	wantRead(t, l, "app", "v1", "f", "x")
}

func TestADeletedTagIsGoneOnceTheRegistrySaysSo(t *testing.T) {
	w := newWorld(t)
	w.publish("app", "v1", map[string]string{"f": "x"})
	l := w.open(t.TempDir(), 100*time.Millisecond)
	wantRead(t, l, "app", "v1", "f", "x")
	r, err := http.NewRequest(http.MethodDelete, w.server.URL+"/v2/app/manifests/v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "publisher")
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode >= 300 {
		t.Fatal(err, res)
	}
	res.Body.Close()
	eventually(t, "the tag is gone", func() bool {
		_, err := read(l, "app", "v1", "f")
		return errors.Is(err, fs.ErrNotExist)
	})
	http.DefaultClient.CloseIdleConnections()
}

func TestAVersionThatCannotBeServedIsNotShown(t *testing.T) {
	w := newWorld(t)
	w.publish("app", "live", map[string]string{"f": "good"})
	l := w.open(t.TempDir(), 100*time.Millisecond)
	wantRead(t, l, "app", "live", "f", "good")
	w.setAnswer(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.NotFound(rw, r)
			return true
		}
		return false
	})
	w.publish("app", "live", map[string]string{"f": "newer"})
	eventually(t, "status tells", func() bool {
		s := l.Status()
		return len(s.Tags) == 1 && s.Tags[0].Problem != ""
	})
	wantRead(t, l, "app", "live", "f", "good")
	w.setAnswer(nil)
	eventually(t, "the new version is shown", func() bool {
		got, _ := read(l, "app", "live", "f")
		return got == "newer"
	})
}

func TestNoRightsAreNotAbsence(t *testing.T) {
	w := newWorld(t)
	l := w.open(t.TempDir(), time.Minute)
	w.setAnswer(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusForbidden)
		return true
	})
	wantError(t, l, "secret", "v1", fs.ErrPermission)
}

func TestOnlyAllowedRepositoriesExist(t *testing.T) {
	w := newWorld(t)
	for _, repo := range []string{"team/a", "team/b/c", "other", "mine"} {
		w.publish(repo, "v1", map[string]string{"f": repo})
	}
	l := w.open(t.TempDir(), time.Minute, "team/*", "mine")
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	wantRead(t, l, "team/a", "v1", "f", "team/a")
	wantRead(t, l, "mine", "v1", "f", "mine")
	requests, _ := w.since(func() {
		wantError(t, l, "other", "v1", fs.ErrNotExist)
		wantError(t, l, "", "other:v1", fs.ErrNotExist)
		wantError(t, l, "team/b/c", "v1", fs.ErrNotExist)
	})
	if len(requests) > 0 {
		t.Errorf("got requests %q, want none", requests)
	}
	if got, err := l.List(context.Background(), ""); err != nil || fmt.Sprint(union(got, nil)) != "[mine team]" {
		t.Errorf("list: got %v, %v", got, err)
	}
}

func TestWithoutACatalogNothingIsLost(t *testing.T) {
	w := newWorld(t)
	w.publish("team/docs", "v1", map[string]string{"f": "x"})
	w.publish("seen", "v1", map[string]string{"f": "y"})
	w.setAnswer(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "_catalog") {
			rw.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	l := w.open(t.TempDir(), time.Minute)
	wantRead(t, l, "team/docs", "v1", "f", "x")
	wantRead(t, l, "seen", "v1", "f", "y")
	if e, err := l.Lookup(context.Background(), "", "seen"); err != nil || e.Site != nil {
		t.Errorf("seen: got %+v, %v; want a folder", e, err)
	}
	if got, err := l.List(context.Background(), ""); err != nil || fmt.Sprint(union(got, nil)) != "[seen team]" {
		t.Errorf("list: got %v, %v; want what was looked up", got, err)
	}
}

func TestASmallSiteTakesFewRequests(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 60 {
		files[fmt.Sprintf("d%d/f%d", i%5, i)] = noise(10<<10, byte(i))
	}
	w.publish("app", "v1", files)
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	requests, _ := w.since(func() {
		for name, want := range files {
			wantRead(t, l, "app", "v1", name, want)
		}
	})
	if len(requests) != 3 {
		t.Errorf("got %q, want the manifest, the table of contents and the blob", requests)
	}
}

func TestOneFileOfALargeSiteTakesLittle(t *testing.T) {
	w := newWorld(t)
	files := largeSite()
	w.publish("app", "v1", files)
	l := w.openLarge()
	requests, sent := w.since(func() { wantRead(t, l, "app", "v1", fileOf(123), files[fileOf(123)]) })
	if sent > 120<<10 {
		t.Errorf("got %d bytes by %q, want the table of contents and one member", sent, requests)
	}
	_, sent = w.since(func() { wantRead(t, l, "app", "v1", fileOf(123), files[fileOf(123)]) })
	if sent != 0 {
		t.Errorf("the second time: got %d bytes, want none", sent)
	}
}

func TestAFileOfANewVersionIsAllThatIsFetched(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 300 {
		files[fmt.Sprintf("f%03d", i)] = noise(10<<10, byte(i)) + fmt.Sprint(i)
	}
	w.publish("app", "v1", files)
	l := w.open(t.TempDir(), time.Minute)
	readAll := func(tag string) {
		for name, want := range files {
			wantRead(t, l, "app", tag, name, want)
		}
	}
	readAll("v1")
	files["f123"] = "changed"
	w.publish("app", "v2", files)
	requests, sent := w.since(func() { readAll("v2") })
	var blobs []string
	for _, r := range requests {
		if strings.Contains(r, "/blobs/") {
			blobs = append(blobs, r)
		}
	}
	if len(blobs) != 2 || sent > 130<<10 {
		t.Errorf("got %d bytes by %q, want the table of contents and one member", sent, blobs)
	}
}

func TestDamagedBytesNeverLeave(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("f%02d", i)] = noise(1<<20, byte(i))
	}
	w.publish("app", "v1", files)
	l := w.open(t.TempDir(), time.Minute)
	e, err := l.Lookup(context.Background(), "app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	w.setAnswer(flipBlobs())
	bad := 0
	for name, want := range files {
		got, err := read(l, "app", "v1", name)
		if err == nil && got != want {
			t.Fatalf("%s: wrong bytes left", name)
		}
		if err != nil {
			bad++
		}
	}
	if bad != len(files) {
		t.Errorf("%d of %d damaged files failed", bad, len(files))
	}
	w.setAnswer(nil)
	eventually(t, "the files are right again", func() bool {
		got, err := read(l, "app", "v1", "f00")
		return err == nil && got == files["f00"]
	})
	if n, _ := e.Site.Tree.Lookup(tree.Root, "f01"); e.Site.Local(n) && bad == len(files) {
		t.Error("a damaged file was kept")
	}
}

// flipBlobs flips one bit in the middle of each range of a blob that is sent.
func flipBlobs() func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") || r.Header.Get("X-Flip") != "" {
			return false
		}
		again := r.Clone(r.Context())
		again.RequestURI = ""
		again.URL.Scheme, again.URL.Host = "http", r.Host
		again.Header.Set("User-Agent", "publisher")
		res, err := http.DefaultTransport.RoundTrip(again)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		data[len(data)/2] ^= 1
		for k, v := range res.Header {
			rw.Header()[k] = v
		}
		rw.WriteHeader(res.StatusCode)
		_, _ = rw.Write(data)
		return true
	}
}

func TestManyReadersOfOneFileFetchItOnce(t *testing.T) {
	w := newWorld(t)
	big := noise(20<<20, 9)
	w.publish("app", "v1", map[string]string{"big": big, "other": "x"})
	l := w.open(t.TempDir(), time.Minute)
	if _, err := l.Lookup(context.Background(), "app", "v1"); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256([]byte(big))
	requests, sent := w.since(func() {
		var wait sync.WaitGroup
		for range 16 {
			wait.Go(func() {
				got, err := read(l, "app", "v1", "big")
				if err != nil || sha256.Sum256([]byte(got)) != want {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
			})
		}
		wait.Wait()
	})
	if sent > 21<<20 {
		t.Errorf("got %d bytes by %d requests, want the file once", sent, len(requests))
	}
}

func TestWhoLeavesDoesNotEndTheFetch(t *testing.T) {
	w := newWorld(t)
	w.publish("app", "v1", map[string]string{"f": "x"})
	hold := make(chan struct{})
	w.setAnswer(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			<-hold
		}
		return false
	})
	l := w.open(t.TempDir(), time.Minute)
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error)
	go func() {
		_, err := l.Lookup(ctx, "app", "v1")
		left <- err
	}()
	eventually(t, "the fetch is under way", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Contains(w.requests, "GET /v2/app/manifests/v1")
	})
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: got %v", err)
	}
	close(hold)
	eventually(t, "the fetch ended well", func() bool { return len(l.Status().Tags) == 1 })
	requests, _ := w.since(func() { wantRead(t, l, "app", "v1", "f", "x") })
	if slices.Contains(requests, "GET /v2/app/manifests/v1") {
		t.Errorf("it was asked for again: %q", requests)
	}
}
