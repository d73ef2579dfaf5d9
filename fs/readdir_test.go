package fs

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// TestWhoReadsALongListingReadsOne: the registry is not asked again in the middle of
// it, however long all of it takes; others see what is there by then.
func TestWhoReadsALongListingReadsOne(t *testing.T) {
	begin := time.Now()
	const step = listingAge * 9 / 10
	var l listing
	want := func(when string, offset uint64, now time.Time, want bool) {
		t.Helper()
		if names, ok := l.recent(offset, now); ok != want || ok && len(names) != 1 {
			t.Errorf("%s: got %v, %v, want %v", when, names, ok, want)
		}
	}
	want("never listed", 0, begin, false)
	want("never listed, in the middle", 7, begin, false)
	l.set([]listed{{firstOffset, "v1"}}, 0, begin)
	now := begin
	for range 20 {
		now = now.Add(step)
		want("who goes on", 7, now, true)
	}
	want("who begins", 0, now, false)
	l.set([]listed{{firstOffset, "v2"}}, 0, now)
	want("somebody else, just now", 0, now.Add(step), true)
	want("after a pause", 7, now.Add(step+listingAge), false)
	l.set([]listed{{firstOffset, "v3"}}, 0, now)
	l.drop()
	want("after news", 7, now, false)
	l.set([]listed{{firstOffset, "v3"}}, 0, now)
	want("asked for before the news", 0, now, false)
	l.set([]listed{{firstOffset, "v4"}}, l.dropped(), now)
	want("asked for since", 0, now, true)
}

// TestAnInterruptedListingIsAskedForOnce: a signal sends away who waits for a listing,
// and who comes again, as programs do, finds the answer.
func TestAnInterruptedListingIsAskedForOnce(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"f": "x"})
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	w.SetAnswer(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "my-app/tags/list") && r.URL.Query().Get("n") != "1" {
			asked <- struct{}{}
			<-answer
		}
		return false
	})
	f := w.newFS()
	in := fuse.ReadIn{InHeader: fuse.InHeader{NodeId: lookup(t, f, "my-app").NodeId}}
	for range 3 {
		signal := make(chan struct{})
		close(signal)
		if status := f.ReadDir(signal, &in, fuse.NewDirEntryList(make([]byte, 500), 0)); status != fuse.EINTR {
			t.Errorf("interrupted: got %v, want %v", status, fuse.EINTR)
		}
	}
	<-asked
	close(answer)
	if got := listAll(t, f, in.NodeId); !got["v1"] {
		t.Errorf("again: got %v", got)
	}
	if got := len(asked); got != 0 {
		t.Errorf("the registry was asked %d times more", got)
	}
}
