package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// batchOf puts contents 0 to n of the sizes that size tells, in one batch.
func batchOf(t *testing.T, s *Store, n int, size func(i int) int) {
	t.Helper()
	b := s.Batch()
	for i := range n {
		data, k := bytesOf(uint64(i), size(i))
		if err := b.PutVerified(k, data); err != nil {
			t.Errorf("content %d: %v", i, err)
		}
		clear(data) // it is the caller's again
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// anySize is a small or a large one, on both sides of each limit.
func anySize(i int) int {
	all := []int{0, 1, 300, 12 << 10, 70 << 10, verifyWhole - 1, verifyWhole, verifyWhole + 1, 300 << 10}
	return all[i%len(all)]
}

func TestABatchIsKept(t *testing.T) {
	const n = 60
	dir := t.TempDir()
	s, err := open(dir, plenty)
	if err != nil {
		t.Fatal(err)
	}
	batchOf(t, s, n, anySize)
	once := s.Stats()
	batchOf(t, s, n, anySize)
	if again := s.Stats(); again.Bytes != once.Bytes || again.Files != once.Files {
		t.Errorf("got %d files of %d bytes, and %d of %d when they were put again", once.Files, once.Bytes, again.Files, again.Bytes)
	}
	check := func() {
		t.Helper()
		for i := range n {
			data, k := bytesOf(uint64(i), anySize(i))
			wantContent(t, s, k, data)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, plenty)
	check()
}

func TestSmallContentsOfABatchAreOneWrite(t *testing.T) {
	s := openQuiet(t, t.TempDir(), plenty)
	put(t, s, 1<<20, 1) // makes the segment
	before := writes(t)
	batchOf(t, s, 50, func(int) int { return 2000 })
	// Go's runtime wakes itself by a write now and then.
	if got := writes(t) - before; got < 1 || got > 20 {
		t.Errorf("got %d writes for 50 contents, want 1", got)
	}
}

// writes is how many system calls of this process have written.
func writes(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "syscw: ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatalf("the kernel counts no writes: %v", err)
	}
	return n
}

func TestABatchGoesIntoSmallSegments(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	s.segments.max = 8 << 10
	batchOf(t, s, 40, func(int) int { return 3000 })
	for i := range 40 {
		data, k := bytesOf(uint64(i), 3000)
		wantContent(t, s, k, data)
	}
	names, size := segmentFiles(t, dir)
	if len(names) < 20 || size > 40*(3000+recordHeader) {
		t.Errorf("got %d segments of %d bytes in all, want none larger than 8 KiB", len(names), size)
	}
}

func TestABatchThatFindsNoRoomCanBeReadForAMoment(t *testing.T) {
	s := openQuiet(t, t.TempDir(), plenty)
	full(t, s)
	batchOf(t, s, 20, anySize)
	for i := range 20 {
		data, k := bytesOf(uint64(i), anySize(i))
		checkRead(t, s, k, data, 0, len(data))
	}
	if s.Problem() == nil {
		t.Error("the store does not say that it is full")
	}
}

func TestManyBatchesAtOnce(t *testing.T) {
	s := openStore(t, t.TempDir(), plenty)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { batchOf(t, s, 100, func(i int) int { return 1000 + i }) })
	}
	all.Wait()
	for i := range 100 {
		data, k := bytesOf(uint64(i), 1000+i)
		wantContent(t, s, k, data)
	}
	if got := s.Stats().Files; got != 100 {
		t.Errorf("got %d contents, want 100", got)
	}
}

// BenchmarkBatch puts five contents as a member of a layer has them.
func BenchmarkBatch(b *testing.B) {
	s := openStore(b, b.TempDir(), plenty)
	for name, begin := range map[string]func() *Batch{"store": s.Batch, "shelf": s.Shelf("registry.example.org team/my-app").Batch} {
		b.Run(name, func(b *testing.B) { benchmarkBatch(b, begin) })
	}
}

// batched is how many contents there were, so that each is another.
var batched uint64

func benchmarkBatch(b *testing.B, begin func() *Batch) {
	const size, count = 14 << 10, 5
	data, _ := bytesOf(1, size)
	b.SetBytes(size * count)
	b.ReportAllocs()
	for b.Loop() {
		batch := begin()
		for range count {
			binary.LittleEndian.PutUint64(data, batched)
			batched++
			if err := batch.PutVerified(sha256.Sum256(data), data); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
