package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"
)

// tarBlock is the unit of a tar stream: headers are one or more blocks, and
// contents are padded to the next.
const tarBlock = 512

// emptyDigest is that of files without content.
var emptyDigest = digest.FromBytes(nil).String()

// packCutter writes the tar stream and cuts it into members.
type packCutter struct {
	ctx  context.Context // of the one call of cutEntries
	line *packLine
	src  PackSource
	cur  *packMember
}

// cutEntries turns src into members on line.
func cutEntries(ctx context.Context, line *packLine, src PackSource) error {
	first, err := line.next(ctx)
	if err != nil {
		return err
	}
	c := &packCutter{ctx, line, src, first}
	for _, e := range src.Entries() {
		if err := c.add(e); err != nil {
			return err
		}
	}
	line.put(c.cur)
	return nil
}

func (c *packCutter) add(e PackEntry) error {
	h, err := packHeader(e)
	if err != nil {
		return err
	}
	// Entries without content are no reason for a new member, and may be
	// many: this bounds the member that gathers them.
	if len(c.cur.plain) >= ChunkSize {
		if err := c.cut(); err != nil {
			return err
		}
	}
	c.cur.plain = append(c.cur.plain, h.block...)
	if h.entry.Type == "reg" {
		return c.addFile(e, h.entry)
	}
	c.cur.entries = append(c.cur.entries, h.entry)
	return nil
}

func (c *packCutter) addFile(e PackEntry, entry tocEntry) error {
	r, err := c.src.Open(e)
	if err != nil {
		return err
	}
	defer r.Close()
	if e.Size == 0 {
		entry.Digest = emptyDigest
		c.cur.entries = append(c.cur.entries, entry)
		return expectEnd(r, e)
	}
	for entry.ChunkOffset < e.Size {
		n := min(e.Size-entry.ChunkOffset, ChunkSize)
		last := entry.ChunkOffset+n == e.Size
		if !last {
			entry.ChunkSize = n
		}
		if err := c.addChunk(r, e, entry, int(n)); err != nil {
			return err
		}
		entry = tocEntry{Name: entry.Name, Type: "chunk", ChunkOffset: entry.ChunkOffset + n}
	}
	c.pad()
	return expectEnd(r, e)
}

// addChunk reads n bytes into a member.
func (c *packCutter) addChunk(r io.Reader, e PackEntry, entry tocEntry, n int) error {
	if c.beginsMember(n) {
		if err := c.cut(); err != nil {
			return err
		}
	}
	m := c.cur
	start := len(m.plain)
	m.plain = slices.Grow(m.plain, n)[:start+n]
	if got, err := io.ReadFull(r, m.plain[start:]); err != nil {
		return readError(e, entry.ChunkOffset+int64(got), err)
	}
	entry.InnerOffset = int64(start)
	m.contents = append(m.contents, packContent{len(m.entries), start, start + n})
	m.entries = append(m.entries, entry)
	return nil
}

// beginsMember reports whether n bytes of content begin a member of their own.
// They always do when the member has none yet: readers take the offset of a
// member to be that of its first content, and an offset of zero, which is where
// the layer's first headers lie, to be none at all.
func (c *packCutter) beginsMember(n int) bool {
	return len(c.cur.contents) == 0 || len(c.cur.plain) >= memberSize || n >= memberSize
}

// cut ends the current member and begins another.
func (c *packCutter) cut() error {
	c.line.put(c.cur)
	m, err := c.line.next(c.ctx)
	c.cur = m
	return err
}

// pad fills the last block of a content with zeros. Contents begin where a
// block or a member does, and chunks are whole blocks, so that the member's own
// length tells.
func (c *packCutter) pad() {
	c.cur.plain = append(c.cur.plain, tarPadding(len(c.cur.plain))...)
}

var zeroBlock [tarBlock]byte

// tarPadding is what follows n bytes up to the end of the block.
func tarPadding(n int) []byte {
	return zeroBlock[:(tarBlock-n%tarBlock)%tarBlock]
}

// readError says that the content of e ended early, or passes on why it could
// not be read.
func readError(e PackEntry, got int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: changed while it was packed: %d bytes, was %d", e.Name, got, e.Size)
	}
	return err
}

// expectEnd makes sure that nothing follows the content of e.
func expectEnd(r io.Reader, e PackEntry) error {
	var b [1]byte
	switch n, err := io.ReadFull(r, b[:]); {
	case n > 0:
		return fmt.Errorf("%s: changed while it was packed: more than the %d bytes it was", e.Name, e.Size)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// packedHeader is an entry as the tar stream and as the table of contents have
// it.
type packedHeader struct {
	block []byte
	entry tocEntry
}

func packHeader(e PackEntry) (packedHeader, error) {
	if !fs.ValidPath(e.Name) || e.Name == "." || e.Name == tocName || e.Size < 0 {
		return packedHeader{}, fmt.Errorf("%q of %d bytes: not a file that a layer can hold", e.Name, e.Size)
	}
	var h tar.Header
	t := tocEntry{Name: e.Name}
	switch e.Type {
	case 0:
		h = tar.Header{Typeflag: tar.TypeReg, Name: e.Name, Size: e.Size, Mode: 0o644}
		t.Type, t.Size = "reg", e.Size
	case fs.ModeDir:
		t.Name += "/"
		h = tar.Header{Typeflag: tar.TypeDir, Name: t.Name, Mode: 0o755}
		t.Type = "dir"
	case fs.ModeSymlink:
		h = tar.Header{Typeflag: tar.TypeSymlink, Name: e.Name, Linkname: e.Link, Mode: 0o777}
		t.Type, t.LinkName = "symlink", e.Link
	default:
		return packedHeader{}, fmt.Errorf("%s: neither file, folder nor symbolic link", e.Name)
	}
	t.Mode = h.Mode
	block, err := tarHeader(&h)
	return packedHeader{block, t}, err
}

// tarHeader encodes h: as USTAR if that can hold it, else as PAX, which is what
// archive/tar does by itself for headers without times and owners.
func tarHeader(h *tar.Header) ([]byte, error) {
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		return nil, fmt.Errorf("%s: %w", h.Name, err)
	}
	return b.Bytes(), nil
}
