package namespace

import (
	"fmt"
	"testing"
	"time"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/registry"
)

// openPinned starts a namespace that pins my-app:live, on a store of limit bytes.
func (w *world) openPinned(limit int64) *Live {
	w.T.Helper()
	store, err := cache.Open(w.T.TempDir(), limit)
	if err != nil {
		w.T.Fatal(err)
	}
	live := Open(Options{
		Registry: w.Client, Store: store, Refresh: 50 * time.Millisecond,
		Pinned: []registry.Reference{{Repository: "my-app", Tag: "live"}},
	})
	w.T.Cleanup(func() {
		live.Close()
		store.Close()
	})
	return live
}

// pinState is what the status says of the pinned tag.
func pinState(l *Live) string {
	for _, t := range l.Status().Tags {
		if t.Tag == "live" {
			return t.Pinned
		}
	}
	return ""
}

func someFiles(n int, seed byte) map[string]string {
	files := map[string]string{"big.bin": noise(3<<20, seed)}
	for i := range n {
		files[fmt.Sprintf("f%03d", i)] = noise(20<<10, seed+byte(i)+1)
	}
	return files
}

// Large files too, which otherwise come only when somebody reads them.
func TestAPinnedTagIsFetchedAsAWholeUnasked(t *testing.T) {
	w := newWorld(t)
	first, second := someFiles(50, 1), someFiles(50, 101)
	w.Publish("my-app", "live", first)
	l := w.openPinned(1 << 30)
	eventually(t, "the version is here", func() bool { return pinState(l) == PinLocal })
	_, sent := w.Since(func() {
		for name, content := range first {
			wantRead(t, l, "my-app", "live", name, content)
		}
	})
	if sent != 0 {
		t.Errorf("got %d bytes fetched for reading it, want 0", sent)
	}
	w.Publish("my-app", "live", second)
	eventually(t, "the tag has moved and its new version is here", func() bool {
		got, err := read(l, "my-app", "live", "f000")
		return err == nil && got == second["f000"] && pinState(l) == PinLocal
	})
	w.SetDown(true)
	for name, content := range second {
		wantRead(t, l, "my-app", "live", name, content)
	}
}

func TestAPinnedVersionOutlivesOthersInASmallCache(t *testing.T) {
	w := newWorld(t)
	pinned := someFiles(100, 1) // 5 MB
	w.Publish("my-app", "live", pinned)
	l := w.openPinned(16 << 20)
	eventually(t, "the version is here", func() bool { return pinState(l) == PinLocal })
	for i := range 10 { // 50 MB of others
		other := someFiles(100, byte(10*i+2))
		tag := fmt.Sprintf("v%d", i)
		w.Publish("other", tag, other)
		for name, content := range other {
			wantRead(t, l, "other", tag, name, content)
		}
	}
	w.SetDown(true)
	for name, content := range pinned {
		wantRead(t, l, "my-app", "live", name, content)
	}
}

func TestAPinnedVersionThatDoesNotFitSaysSoAndIsNotFetchedAgain(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "live", someFiles(300, 1)) // 9 MB
	l := w.openPinned(4 << 20)
	eventually(t, "it does not fit", func() bool { return pinState(l) == PinFailed })
	_, sent := w.Since(func() { time.Sleep(500 * time.Millisecond) }) // ten rounds
	if sent != 0 {
		t.Errorf("got %d bytes fetched while it waits, want 0", sent)
	}
	e, err := l.Lookup(t.Context(), "my-app", "live")
	if err != nil || e.Site == nil {
		t.Errorf("got %v, %v; want it to be served all the same", e, err)
	}
}
