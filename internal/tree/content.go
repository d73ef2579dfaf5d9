package tree

import (
	"crypto/sha256"
	"encoding/binary"
)

// ContentID names a file's content by everything that its bytes are verified
// against: the digest of its only chunk, or a digest over the digests and
// sizes of all its chunks. A table of contents also states a digest of the
// whole file, but nobody can check that one before the last byte has come, so
// nothing is ever shared or named by it.
func ContentID(chunks []Chunk) Digest {
	return contentID(len(chunks), func(i int) Chunk { return chunks[i] })
}

// contentID is ContentID for count chunks that are made one by one.
func contentID(count int, chunk func(i int) Chunk) Digest {
	switch count {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return chunk(0).Digest
	}
	h := sha256.New()
	h.Write([]byte("regfs chunks\n"))
	var size [8]byte
	for i := range count {
		c := chunk(i)
		h.Write(c.Digest[:])
		binary.LittleEndian.PutUint64(size[:], uint64(c.Size))
		h.Write(size[:])
	}
	return Digest(h.Sum(nil))
}

// The range of modification times. nginx makes its ETag from the modification
// time and the size and nothing else, so the time has to follow from the
// content: 2^29 seconds from 2001-09-09 on, which end in 2018, always in the
// past.
const (
	firstTime  = 1_000_000_000
	timeSpread = 1 << 29
)

// ModTime is the modification time for an ID or another hash: seconds since
// 1970, a function of its argument alone.
func ModTime(id uint64) int64 { return firstTime + int64(id%timeSpread) }
