package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
)

func BenchmarkReadAt(b *testing.B) {
	for _, r := range []struct{ size, length int }{
		{4 << 10, 4 << 10}, {64 << 10, 64 << 10}, {verifyWhole, 128 << 10}, {4 << 20, 4 << 10}, {4 << 20, 128 << 10},
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
		if !s.Has(k) {
			b.Fatal("not there")
		}
	}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 4 << 20} {
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
