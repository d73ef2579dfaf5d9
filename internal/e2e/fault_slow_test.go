package e2e

import (
	"errors"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestWaitsEnd: whoever waits for a registry that says nothing, or hardly
// anything, hears EIO after seconds. All cases wait at the same time, each with
// a daemon of its own.
func TestWaitsEnd(t *testing.T) {
	once(t)
	w := newFaultWorld(t)
	var cases sync.WaitGroup
	defer cases.Wait()
	run := func(name string, f func(*testing.T)) { cases.Go(func() { t.Run(name, f) }) }
	for name, f := range map[string]fault{"silence": silence, "a byte now and then": trickle} {
		run(name+" while resolving", func(t *testing.T) {
			proxy := startFaultProxy(t, w.reg.host)
			d := mount(t, proxy.host(), never)
			faultRow{spoil: f}.check(t, proxy, "resolving", eio(tries), manifestOf("v1"), stating(d.path("first/v1")), nil)
		})
		run(name+" before the first bytes", func(t *testing.T) {
			proxy := startFaultProxy(t, w.reg.host)
			d := mount(t, proxy.host(), never)
			waitForStat(t, d.path("first/v1"))
			file := w.largeFile()
			faultRow{spoil: f}.check(t, proxy, "first bytes", eio(2*tries), blobOf(w.layers["first"]),
				reading(d.path("first/v1", file), 0, 64), w.early[file][:64])
		})
		run(name+" in the middle of a file", func(t *testing.T) {
			proxy := startFaultProxy(t, w.reg.host)
			d := mount(t, proxy.host(), never)
			w.readBeginning(t, d)
			faultRow{spoil: f}.check(t, proxy, "in the middle", eio(2*tries), blobOf(w.layers["middle"]),
				w.readingEnd(d), w.large[w.largeFile()][4<<20:])
		})
	}
	run("an answer that is late", w.tryLate)
	run("Retry-After in seconds", func(t *testing.T) { w.tryRest(t, "3600") })
	run("Retry-After as a date", func(t *testing.T) {
		w.tryRest(t, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	})
}

// tryLate: a registry that needs three seconds to say what a tag is is not
// waited for so long, but what it says then counts.
func (w *faultWorld) tryLate(t *testing.T) {
	proxy := startFaultProxy(t, w.reg.host)
	d := mount(t, proxy.host(), never)
	r := proxy.spoil(manifestOf("v1"), 0, late(3*time.Second))
	if _, err := stating(d.path("whole/v1"))(); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want %v", err, syscall.EIO)
	}
	waitForStat(t, d.path("whole/v1"))
	if got := len(proxy.seen(r)); got != 1 {
		t.Errorf("got %d requests for the manifest, want 1", got)
	}
}

// tryRest: a registry that asks to be left alone for an hour is, by everybody,
// and what is known is served.
func (w *faultWorld) tryRest(t *testing.T, header string) {
	proxy := startFaultProxy(t, w.reg.host)
	d := mount(t, proxy.host(), never)
	w.readBeginning(t, d)
	tired := proxy.spoil(blobOf(w.layers["middle"]), 0, status(http.StatusTooManyRequests, "Retry-After", header))
	if got, err := w.readingEnd(d)(); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %d bytes, %v, want %v", len(got), err, syscall.EIO)
	}
	if got := len(proxy.seen(tired)); got != 1 {
		t.Errorf("got %d requests, want 1", got)
	}
	any := proxy.spoil(func(*http.Request) bool { return true }, 0, honest)
	for range 5 {
		for _, path := range []string{"whole/v1", "nobody/v1"} {
			if _, err := stating(d.path(path))(); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: got %v, want %v", path, err, syscall.EIO)
			}
		}
	}
	w.readBeginning(t, d)
	if got := proxy.seen(any); len(got) != 0 {
		t.Errorf("during the pause: got %d requests, want none", len(got))
	}
}
