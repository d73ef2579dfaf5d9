package cache

import (
	"slices"
	"testing"
	"time"
)

// pinEvery puts n contents, the oldest first, and pins every tenth.
func pinEvery(t *testing.T, s *Store, dir string, n, size int) (pinned, others []Key) {
	t.Helper()
	for i := range n {
		_, k := put(t, s, uint64(i), size)
		if s.small == onlyFiles {
			backdate(t, dir, k, time.Duration(n-i)*time.Minute)
		}
		if i%10 == 0 {
			pinned = append(pinned, k)
		} else {
			others = append(others, k)
		}
	}
	s.Pin("site", slices.Values(pinned))
	return pinned, others
}

func TestWhatIsPinnedIsNotEvicted(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	s.small = onlyFiles
	pinned, others := pinEvery(t, s, dir, 100, blockSize)
	s.limit = 20 * blockSize
	s.trim(t.Context())
	for i, k := range pinned {
		if !s.Has(k, blockSize) {
			t.Errorf("pinned content %d of %d is gone", i, len(pinned))
		}
	}
	if first := others[0]; s.Has(first, blockSize) {
		t.Error("the oldest content that is not pinned is still there")
	}
	if got, most := onDiskNow(s.dir), low(s.limit); got > most {
		t.Errorf("got %d bytes on disk, want at most %d", got, most)
	}

	s.Pin("site", slices.Values(pinned[:1]))
	s.limit = 2 * blockSize
	s.trim(t.Context())
	if !s.Has(pinned[0], blockSize) || s.Has(pinned[1], blockSize) {
		t.Errorf("the one that stays pinned is there: %v, one that does not: %v", s.Has(pinned[0], blockSize), s.Has(pinned[1], blockSize))
	}
}

// Small contents lie in segments with others that go.
func TestPinnedContentsOutliveTheirSegment(t *testing.T) {
	const limit = 4 << 20
	dir := t.TempDir()
	s := openQuiet(t, dir, limit)
	now := time.Now()
	s.now = func() time.Time { now = now.Add(10 * time.Millisecond); return now }
	pinned, _ := pinEvery(t, s, dir, 100, 8<<10)
	for i := range 20 * limit / (8 << 10) { // twenty times what fits
		data, k := bytesOf(uint64(1000+i), 8<<10)
		if err := s.Put(k, data); err != nil {
			s.trim(t.Context())
		}
		if i%50 == 0 {
			s.trim(t.Context())
		}
	}
	s.trim(t.Context())
	for i, k := range pinned {
		data, _ := bytesOf(uint64(10*i), 8<<10)
		wantContent(t, s, k, data)
	}
	if got := s.Stats(); got.Evicted == 0 || got.Bytes > limit {
		t.Errorf("got %+v, want some evicted and at most %d bytes", got, limit)
	}
}
