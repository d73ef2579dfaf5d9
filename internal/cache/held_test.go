package cache

import (
	"errors"
	"testing"
	"time"
)

// full makes a store that has room for nothing more.
func full(t *testing.T, s *Store) {
	t.Helper()
	s.reserve = 1 << 60
	data, k := bytesOf(99, 10)
	if err := s.Put(k, data); !errors.Is(err, ErrFull) {
		t.Fatalf("put into a full cache: got %v, want %v", err, ErrFull)
	}
}

func TestWhatFindsNoRoomCanBeReadForAMoment(t *testing.T) {
	s := openQuiet(t, t.TempDir(), plenty)
	now := time.Now()
	s.now = func() time.Time { return now }
	full(t, s)
	for seed, size := range map[uint64]int{1: 1000, 2: 1 << 20} { // would be in a segment, and in a file
		data, k := bytesOf(seed, size)
		if err := s.Put(k, data); !errors.Is(err, ErrFull) {
			t.Fatalf("got %v, want %v", err, ErrFull)
		}
		if !s.Has(k, int64(size)) || s.Kept(k, int64(size)) {
			t.Errorf("%d bytes: can be read: %v, is on the disk: %v; want only the first", size, s.Has(k, int64(size)), s.Kept(k, int64(size)))
		}
		wantContent(t, s, k, data)
		checkRead(t, s, k, data, 100, 500)
		now = now.Add(heldFor + 1)
		wantMissing(t, s, k, size)
		now = now.Add(-heldFor - 1)
	}
}

func TestWhatIsHeldIsBounded(t *testing.T) {
	s := openQuiet(t, t.TempDir(), plenty)
	full(t, s)
	const size = 4 << 20
	var keys []Key
	for i := range 12 {
		data, k := bytesOf(uint64(i), size)
		_ = s.Put(k, data)
		keys = append(keys, k)
	}
	for i, k := range keys {
		if got, want := s.Has(k, size), i >= 12-heldBytes/size; got != want {
			t.Errorf("content %d of 12: there: %v, want %v", i, got, want)
		}
	}
}

func TestAFullCacheSaysSoForAWhile(t *testing.T) {
	s := openQuiet(t, t.TempDir(), plenty)
	now := time.Now()
	s.now = func() time.Time { return now }
	if err := s.Problem(); err != nil {
		t.Errorf("got %v, want no problem", err)
	}
	full(t, s)
	if err := s.Problem(); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want %v", err, ErrFull)
	}
	now = now.Add(problemFor + 1)
	if err := s.Problem(); err != nil {
		t.Errorf("a while later: got %v, want no problem", err)
	}
}
