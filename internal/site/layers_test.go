package site

import (
	"context"
	"testing"
)

// TestLargeVersionsWaitForEachOther: no more than a few are read at the same time,
// and who waits too long hears that this may pass.
func TestLargeVersionsWaitForEachOther(t *testing.T) {
	l, end := newWorld(t).open(t.TempDir())
	defer end()
	var reading []*merge
	for range largeAtOnce {
		m := l.newMerge("many")
		if err := m.becomeLarge(t.Context()); err != nil {
			t.Fatal(err)
		}
		reading = append(reading, m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	late := l.newMerge("one too many")
	if err := late.becomeLarge(ctx); !Unavailable(err) || IsBad(err) {
		t.Errorf("one more than may: got %v, want that it may pass", err)
	}
	late.close()
	reading[0].close()
	next := l.newMerge("next")
	if err := next.becomeLarge(t.Context()); err != nil {
		t.Errorf("when one has ended: %v", err)
	}
	next.close()
	for _, m := range reading[1:] {
		m.close()
	}
	if n := len(l.large); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}
