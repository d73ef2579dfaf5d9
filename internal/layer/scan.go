package layer

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/regfs/regfs/internal/tree"
)

// Bounds on what a layer may unpack to, in bytes: what any layer may, and above
// that how many times its own size. Ordinary text shrinks a tenth, text that
// repeats itself a hundredfold; gzip can do 1,030, zstd 30,000.
const (
	alwaysAllowed = 256 << 20
	maxRatio      = 200
)

// ErrDigest means that bytes are not those of their digest. What was made of
// them before it was found says nothing.
var ErrDigest = errors.New("not the bytes of their digest")

// Keep takes the verified bytes of a chunk, which it must not hold on to.
type Keep func(sum tree.Digest, data []byte)

// Scan reads a whole layer of any compression as a stream, puts its files into
// b and hands the content to keep. r is the blob of size bytes; layer is its
// number in the manifest. The caller must see to it that r's bytes are those of
// the blob's digest before it uses b; Scan reads r to its end, also when it can
// make nothing of it. Its errors are ErrFormat and those of r, which come first.
func Scan(b *tree.Builder, layer int, size int64, r io.Reader, keep Keep) error {
	return ScanBelow(b, layer, size, ".", r, keep)
}

// ScanBelow is Scan for a layer that may hold nothing but what is in the folder
// dir, and that folder.
func ScanBelow(b *tree.Builder, layer int, size int64, dir string, r io.Reader, keep Keep) error {
	buf := scanBuffers.Get().(*[]byte)
	defer scanBuffers.Put(buf)
	s := scanner{b: b, all: begin(b, dir), keep: keep, buf: *buf, member: b.AddMember(layer, 0, size)}
	err := s.blob(size, r)
	if _, broken := io.Copy(io.Discard, r); broken != nil {
		return broken // damage on the way looks like a malformed layer
	}
	switch {
	case errors.Is(err, ErrFormat):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrFormat, err) // the bytes are those of the blob
	}
	return s.all.end()
}

// scanBuffers hold one chunk each.
var scanBuffers = sync.Pool{New: func() any { b := make([]byte, ChunkSize); return &b }}

// scanner reads one tar stream.
type scanner struct {
	b      *tree.Builder
	in     *counter
	member uint32
	all    entries
	keep   Keep
	buf    []byte
}

// blob reads a whole blob of size bytes.
func (s *scanner) blob(size int64, r io.Reader) error {
	z, err := decompress(r, 0, s.b.Reserve)
	if err != nil {
		return err
	}
	defer z.Close()
	s.in = &counter{r: z, limit: max(alwaysAllowed, size*maxRatio)}
	return s.archive()
}

// counter knows how much of a stream has been read, and ends it at a limit.
type counter struct {
	r     io.Reader
	n     int64
	limit int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.n += int64(n); c.n > c.limit {
		return n, fmt.Errorf("%w: unpacks to more than %d bytes", ErrFormat, c.limit)
	}
	return n, err
}

func (s *scanner) archive() error {
	frames := &strict{r: s.in}
	archive := tar.NewReader(frames)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			_, err := io.Copy(io.Discard, frames)
			return err
		}
		switch {
		case frames.err != nil && !errors.Is(frames.err, io.EOF):
			return frames.err // before what archive/tar thinks of it
		case err != nil:
			return fmt.Errorf("%w: tar: %w", ErrFormat, err)
		case h.Typeflag == tar.TypeXGlobalHeader:
			continue
		}
		if err := frames.entry.agrees(h); err != nil {
			return err
		}
		if err := s.entry(archive, h); err != nil {
			return err
		}
	}
}

func (s *scanner) entry(archive *tar.Reader, h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return s.all.add(tree.Entry{Path: h.Name, Kind: tree.Dir})
	case tar.TypeSymlink:
		return s.all.add(tree.Entry{Path: h.Name, Kind: tree.Symlink, Target: h.Linkname})
	case tar.TypeLink:
		return s.all.add(tree.Entry{Path: h.Name, Kind: hardLink, Target: h.Linkname})
	case tar.TypeReg:
		if err := s.content(archive, h); err != nil {
			return fmt.Errorf("%.200q: %w", h.Name, err)
		}
		return s.all.add(tree.Entry{Path: h.Name, Kind: tree.File, Pieces: s.b.Pieces()})
	}
	return s.all.add(tree.Entry{Path: h.Name, Kind: device})
}

// content reads a file in chunks. archive/tar reads ahead of nothing, so the
// place in the stream is that of the chunk.
func (s *scanner) content(archive *tar.Reader, h *tar.Header) error {
	for off := int64(0); off < h.Size; {
		at := s.in.n
		data := s.buf[:min(ChunkSize, h.Size-off)]
		if _, err := io.ReadFull(archive, data); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		sum := sha256.Sum256(data)
		s.keep(sum, data)
		if err := s.b.AddChunk(tree.Chunk{Digest: sum, Size: int64(len(data)), Offset: off, Inner: at, Member: s.member}); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		off += int64(len(data))
	}
	return nil
}
