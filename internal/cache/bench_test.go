package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
)

func BenchmarkReadAt(b *testing.B) {
	for _, r := range []struct{ size, length int }{
		{4 << 10, 4 << 10}, {12 << 10, 12 << 10}, {64 << 10, 64 << 10}, {verifyWhole, 128 << 10}, {4 << 20, 4 << 10}, {4 << 20, 128 << 10},
	} {
		b.Run(fmt.Sprintf("%dKiB_of_%dKiB", r.length>>10, r.size>>10), func(b *testing.B) {
			s := openStore(b, b.TempDir(), plenty)
			_, k := put(b, s, 1, r.size)
			p := make([]byte, r.length)
			b.SetBytes(int64(r.length))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.ReadAt(k, int64(r.size), p, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkHas(b *testing.B) {
	s := openStore(b, b.TempDir(), plenty)
	_, k := put(b, s, 1, 100)
	b.ReportAllocs()
	for b.Loop() {
		if !s.Has(k, 100) {
			b.Fatal("not there")
		}
	}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 12 << 10, 64 << 10, 4 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := openStore(b, b.TempDir(), plenty)
			data, _ := bytesOf(1, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				binary.LittleEndian.PutUint64(data, i)
				if err := s.Put(sha256.Sum256(data), data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens a cache with 200,000 contents.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s, err := open(dir, plenty)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 100)
	for i := range uint64(200_000) {
		binary.LittleEndian.PutUint64(data, i)
		if err := s.Put(sha256.Sum256(data), data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		if s, err = open(dir, plenty); err != nil {
			b.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := s.Stats().Files; got != 200_000 {
		b.Errorf("%d contents, want 200,000", got)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	s = nil
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
}
