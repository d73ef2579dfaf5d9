package layer

import (
	"crypto/sha256"
	"fmt"
	"io"
	"sync"

	"github.com/regfs/regfs/internal/tree"
)

// chunks have room for a small content, as nearly all are.
var chunks = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// Unpack reads the chunks of member m of t out of r, which holds the member's
// bytes of the blob, and hands to keep those that are what their digest says.
// It needs no more of r than the last chunk takes. An error tells of the first
// chunk that is not right; others may have been kept all the same.
func Unpack(t *tree.Tree, m tree.Member, r io.Reader, keep Keep) error {
	z := io.NopCloser(r)
	if !m.Stored {
		var err error
		if z, err = decompress(r, span(t, m), nil); err != nil {
			return err
		}
	}
	defer z.Close()
	var first error
	var at int64
	b := chunks.Get().(*[]byte)
	defer chunks.Put(b)
	buf := *b
	for i := m.First; i < m.First+m.Count; i++ {
		c := t.Chunk(i)
		if _, err := io.CopyN(io.Discard, z, c.Inner-at); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		if int64(len(buf)) < c.Size {
			buf = make([]byte, c.Size)
		}
		data := buf[:c.Size]
		if _, err := io.ReadFull(z, data); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		at = c.Inner + c.Size
		if sha256.Sum256(data) != c.Digest {
			if first == nil {
				first = fmt.Errorf("%w: chunk %x is not what its digest says", ErrFormat, c.Digest[:8])
			}
			continue
		}
		keep(c.Digest, data)
	}
	return first
}

// span is how many bytes of an uncompressed member are needed, or 0 if that is
// about all of it: it is then a whole blob, of which nobody knows how it is
// made up.
func span(t *tree.Tree, m tree.Member) int64 {
	if m.Count == 0 || m.Offset == 0 {
		return 0
	}
	last := t.Chunk(m.First + m.Count - 1)
	return last.Inner + last.Size
}
