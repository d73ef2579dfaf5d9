package layer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/opencontainers/go-digest"
)

// packCompressor names what decides the compressed bytes beside the plain ones:
// the library, its version and packLevel. go.mod has the version; a test
// compares.
const packCompressor = "github.com/klauspost/compress v1.20.3 gzip level 6"

// MemberKey names a compressed member by what it was made from: the bytes and
// the compressor.
type MemberKey [sha256.Size]byte

// Members remembers the compressed members of layers that were packed before,
// so that what did not change need not be compressed again. It may forget at any
// time. Its methods are called by several goroutines at once.
type Members interface {
	// Recall appends to b the member that was remembered under key. It
	// reports false, and leaves b as it was, when there is none. What it
	// appends goes into a layer unseen, so it must be exactly what was
	// remembered.
	Recall(key MemberKey, b *bytes.Buffer) bool
	// Remember may keep member, which it must not change nor hold on to.
	Remember(key MemberKey, member []byte)
}

// key is a digest of m.plain and of packCompressor. The contents, which are
// nearly all of it, come in by the digests that the table needs anyway, so that
// they are hashed once.
func (m *packMember) key() MemberKey {
	h := sha256.New()
	hashBytes(h, []byte(packCompressor))
	at := 0
	for _, c := range m.contents {
		hashBytes(h, m.plain[at:c.start])
		hashBytes(h, []byte(m.entries[c.entry].ChunkDigest))
		at = c.end
	}
	hashBytes(h, m.plain[at:])
	return MemberKey(h.Sum(nil))
}

// hashBytes writes b and its length, so that no two rows of them are hashed
// alike; every other one is a digest.
func hashBytes(h hash.Hash, b []byte) {
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(b)))
	h.Write(length[:])
	h.Write(b)
}

// digestContents fills in the chunks' digests.
func (m *packMember) digestContents() {
	for _, c := range m.contents {
		e := &m.entries[c.entry]
		e.ChunkDigest = digest.FromBytes(m.plain[c.start:c.end]).String()
		if int64(c.end-c.start) == e.Size {
			e.Digest = e.ChunkDigest
		}
	}
}
