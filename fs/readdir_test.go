package fs

import (
	"testing"
	"time"
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
	l.set([]listed{{firstOffset, "v1"}}, begin)
	now := begin
	for range 20 {
		now = now.Add(step)
		want("who goes on", 7, now, true)
	}
	want("who begins", 0, now, false)
	l.set([]listed{{firstOffset, "v2"}}, now)
	want("somebody else, just now", 0, now.Add(step), true)
	want("after a pause", 7, now.Add(step+listingAge), false)
	l.set([]listed{{firstOffset, "v3"}}, now)
	l.drop()
	want("after news", 7, now, false)
}
