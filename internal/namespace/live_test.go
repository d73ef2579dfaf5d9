package namespace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

func TestARegistryThatIsAwaySaysNothing(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"f": "x", "g": noise(100, 1)})
	dir := t.TempDir()
	l := w.open(dir, 100*time.Millisecond)
	wantRead(t, l, "my-app", "v1", "f", "x")
	w.SetDown(true)
	wantError(t, l, "my-app", "v2", registry.ErrUnavailable)
	wantError(t, l, "", "other", registry.ErrUnavailable)
	eventually(t, "the tag is too old", func() bool { return l.Status().Problem != "" })
	wantRead(t, l, "my-app", "v1", "f", "x")
	if s := l.Status(); s.Healthy {
		t.Errorf("got healthy, want degraded: %+v", s)
	}
	w.SetDown(false)
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
	w.Publish("team/docs", "v1", map[string]string{"f": "x"})
	dir := t.TempDir()
	store, err := cache.Open(dir, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	first := Open(Options{Registry: w.Client, Store: store, Refresh: time.Minute})
	wantRead(t, first, "team/docs", "v1", "f", "x")
	e, err := first.Lookup(context.Background(), "team/docs", "v1")
	if err != nil {
		t.Fatal(err)
	}
	pinned := "docs@" + e.Site.Digest.String()
	wantRead(t, first, "team", pinned, "f", "x")
	first.Close()
	store.Close()

	w.SetDown(true)
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

func TestStatusCountsCompanions(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f.js": strings.Repeat("the same again\n", 1000)})
	l := w.open(t.TempDir(), time.Minute)
	s := lookup(t, l, "app", "v1")
	if _, err := read(l, "app", "v1", "f.js"); err != nil {
		t.Fatal(err)
	}
	s.Companion(tree.Root, "f.js.gz")
	eventually(t, "it is made", func() bool { return l.Status().Companions.Made == 1 })
}

func TestAMovedTagIsFollowedAndAnnounced(t *testing.T) {
	w := newWorld(t)
	w.Publish("team/app", "live", map[string]string{"f": "one"})
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
	w.Publish("team/app", "live", map[string]string{"f": "two"})
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
	w.Publish("app", "v1", map[string]string{"f": "x"})
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
	w.SetDown(true)
	wantRead(t, l, "app", "v1", "f", "x")
}

func TestADeletedTagIsGoneOnceTheRegistrySaysSo(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f": "x"})
	l := w.open(t.TempDir(), 100*time.Millisecond)
	wantRead(t, l, "app", "v1", "f", "x")
	r, err := http.NewRequest(http.MethodDelete, w.URL+"/v2/app/manifests/v1", nil)
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
	w.Publish("app", "live", map[string]string{"f": "good"})
	l := w.open(t.TempDir(), 100*time.Millisecond)
	wantRead(t, l, "app", "live", "f", "good")
	w.SetAnswer(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.NotFound(rw, r)
			return true
		}
		return false
	})
	w.Publish("app", "live", map[string]string{"f": "newer"})
	eventually(t, "status tells", func() bool {
		s := l.Status()
		return len(s.Tags) == 1 && s.Tags[0].Problem != ""
	})
	wantRead(t, l, "app", "live", "f", "good")
	w.SetAnswer(nil)
	eventually(t, "the new version is shown", func() bool {
		got, _ := read(l, "app", "live", "f")
		return got == "newer"
	})
}

func TestASmallSiteTakesFewRequests(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 60 {
		files[fmt.Sprintf("d%d/f%d", i%5, i)] = noise(10<<10, byte(i))
	}
	w.Publish("app", "v1", files)
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	requests, _ := w.Since(func() {
		for name, want := range files {
			wantRead(t, l, "app", "v1", name, want)
		}
	})
	if len(requests) != 3 {
		t.Errorf("got %q, want the manifest, the table of contents and the blob", requests)
	}
}

func TestWhoLeavesDoesNotEndTheFetch(t *testing.T) {
	w := newWorld(t)
	w.Publish("app", "v1", map[string]string{"f": "x"})
	hold := make(chan struct{})
	w.SetAnswer(func(_ http.ResponseWriter, r *http.Request) bool {
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
		return slices.Contains(w.Requests(), "GET /v2/app/manifests/v1")
	})
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: got %v", err)
	}
	close(hold)
	eventually(t, "the fetch ended well", func() bool { return len(l.Status().Tags) == 1 })
	requests, _ := w.Since(func() { wantRead(t, l, "app", "v1", "f", "x") })
	if slices.Contains(requests, "GET /v2/app/manifests/v1") {
		t.Errorf("it was asked for again: %q", requests)
	}
}
