package cache

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// soonOf puts contents from to to-1, in batches of ten, for who reads them soon.
func soonOf(t *testing.T, s *Store, from, to, size int) {
	t.Helper()
	for from < to {
		b := s.Batch()
		b.ReadSoon()
		for range min(10, to-from) {
			data, k := bytesOf(uint64(from), size)
			if err := b.PutVerified(k, data); err != nil {
				t.Error(err)
			}
			from++
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// spoil overwrites all segments of a cache.
func spoil(t *testing.T, dir string) {
	t.Helper()
	names, _ := segmentFiles(t, dir)
	for _, name := range names {
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, fi.Size())); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatIsReadSoonIsReadFromMemory(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	const size = 5000
	soonOf(t, s, 0, 10, size)
	other, k := put(t, s, 100, size)
	wantContent(t, s, k, other)
	spoil(t, dir)
	wantMissing(t, s, k, size) // it is verified with every read
	for i := range 10 {
		data, k := bytesOf(uint64(i), size)
		wantContent(t, s, k, data)
		checkRead(t, s, k, data, 1000, 500)
	}
	if got := s.Stats().Damaged; got != 1 {
		t.Errorf("got %d damaged contents, want 1", got)
	}
	s.lately.clear()
	_, first := bytesOf(0, size)
	wantMissing(t, s, first, size)
}

func TestMemoryOfWhatIsReadSoonIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	s.log = slog.New(slog.DiscardHandler)
	const size, n = 100_000, 2 * latelyBytes / 100_000
	soonOf(t, s, 0, n, size)
	spoil(t, dir)
	kept := 0
	p := make([]byte, size)
	for i := range n {
		data, k := bytesOf(uint64(i), size)
		switch _, err := s.ReadAt(k, size, p, 0); {
		case err != nil && kept > 0:
			t.Errorf("content %d is gone, and one before it is not", i)
		case err == nil && !bytes.Equal(p, data):
			t.Errorf("content %d: other bytes", i)
		case err == nil:
			kept++
		}
	}
	if kept < n/3 || kept > n/2 {
		t.Errorf("got %d of %d contents in memory, want about half, which are %d bytes", kept, n, latelyBytes)
	}
	soonOf(t, s, n, n+2*latelyMost, 10)
	if got := len(s.lately.order); got > latelyMost || len(s.lately.at) != got {
		t.Errorf("got %d small contents in memory, and an index of %d, want %d", got, len(s.lately.at), latelyMost)
	}
}

func TestMemoryOfWhatIsReadSoonIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lately
		b, e := records16(1, 100)
		p := make([]byte, 100)
		l.add(b, e)
		time.Sleep(latelyFor - 1)
		l.add(records16(2, 100))
		time.Sleep(latelyFor - 1)
		if !l.read(e[0].key, p) {
			t.Error("it is gone while others come")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if l.read(e[0].key, p) || l.ring != nil || l.order != nil || l.at != nil {
			t.Error("it is there for ever")
		}
		l.add(b, e)
		if !l.read(e[0].key, p) || !bytes.Equal(p, b[recordHeader:][:100]) {
			t.Error("nothing is kept anew")
		}
		time.Sleep(latelyFor)
	})
}

// records16 are 16 records of one size.
func records16(seed uint64, size int) (b []byte, entries []usedEntry) {
	for i := range uint64(16) {
		data, k := bytesOf(seed<<16+i, size)
		var e usedEntry
		b, e = appendRecord(b, freshRecord{key: k, data: data})
		entries = append(entries, e)
	}
	return b, entries
}

// TestNothingElseIsReadSoon wraps the ring again and again, with batches of any
// size and contents that come again.
func TestNothingElseIsReadSoon(t *testing.T) {
	var l lately
	defer l.clear()
	all := map[Key][]byte{}
	r := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, batchSize)
	for i := range 2500 {
		b, entries := records16(r.Uint64N(600), 100+r.IntN(3)*3000)
		l.add(b, entries)
		for _, e := range entries {
			all[e.key] = b[e.offset:e.end()]
			if !l.read(e.key, p[:e.size]) {
				t.Fatalf("step %d: it is not there", i)
			}
		}
		if i%100 != 0 {
			continue
		}
		for k, data := range all {
			if l.read(k, p[:len(data)]) && !bytes.Equal(p[:len(data)], data) {
				t.Fatalf("step %d: other bytes", i)
			}
		}
	}
}

func TestManyReadSoonAtOnce(t *testing.T) {
	s := openStore(t, t.TempDir(), plenty)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() { soonOf(t, s, 500*i, 500*i+500, 10_000) })
		all.Go(func() {
			p := make([]byte, 10_000)
			for j := range 500 {
				data, k := bytesOf(uint64(500*i+j), 10_000)
				if _, err := s.ReadAt(k, 10_000, p, 0); err == nil && !bytes.Equal(p, data) {
					t.Errorf("content %d: other bytes", j)
				}
			}
		})
		all.Go(func() { s.lately.clear() })
	}
	all.Wait()
}

func BenchmarkReadSoon(b *testing.B) {
	s := openStore(b, b.TempDir(), plenty)
	const size = 12 << 10
	data, k := bytesOf(1, size)
	batch := s.Batch()
	batch.ReadSoon()
	if err := batch.PutVerified(k, data); err != nil {
		b.Fatal(err)
	}
	if err := batch.Close(); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, size)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.ReadAt(k, size, p, 0); err != nil {
			b.Fatal(err)
		}
	}
}
