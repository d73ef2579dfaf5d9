package layer

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"github.com/regfs/regfs/internal/tree"
)

// Bounds on what a layer may unpack to, in bytes: what any layer may, and above
// that how many times its own size. Ordinary text shrinks a tenth, text that
// repeats itself a hundredfold; gzip can do 1,030, zstd 30,000.
const (
	alwaysAllowed = 256 << 20
	maxRatio      = 200
)

// Keep takes the verified bytes of a chunk, which it must not hold on to.
type Keep func(sum tree.Digest, data []byte)

// Scan reads a whole layer of any compression as a stream, puts its files into
// b and hands the content to keep. r is the blob of size bytes; layer is its
// number in the manifest. The caller must see to it that r's bytes are those of
// the blob's digest before it uses b; Scan reads r to its end. Its errors are
// ErrFormat and those of r.
func Scan(b *tree.Builder, layer int, size int64, r io.Reader, keep Keep) error {
	z, err := decompress(r)
	if err != nil {
		return err
	}
	defer z.Close()
	s := scanner{in: &counter{r: z, limit: max(alwaysAllowed, size*maxRatio)}, keep: keep, buf: make([]byte, ChunkSize)}
	s.member = b.AddMember(layer, 0, size)
	if err := s.archive(); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, s.in); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return s.all.apply(b)
}

// scanner reads one tar stream.
type scanner struct {
	in     *counter
	member uint32
	all    entries
	keep   Keep
	buf    []byte
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
	archive := tar.NewReader(s.in)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		if err := s.entry(archive, h); err != nil {
			return err
		}
	}
}

func (s *scanner) entry(archive *tar.Reader, h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return s.all.add(h.Name, entry{kind: tree.Dir})
	case tar.TypeSymlink:
		return s.all.add(h.Name, entry{kind: tree.Symlink, target: h.Linkname})
	case tar.TypeLink:
		return s.all.add(h.Name, entry{target: h.Linkname})
	case tar.TypeReg:
		if sparse(h) {
			return fmt.Errorf("%w: %.200q is a sparse file, which OCI layers cannot hold", ErrFormat, h.Name)
		}
		chunks, err := s.content(archive, h)
		if err != nil {
			return fmt.Errorf("%.200q: %w", h.Name, err)
		}
		return s.all.add(h.Name, entry{kind: tree.File, chunks: chunks})
	case tar.TypeGNUSparse:
		return fmt.Errorf("%w: %.200q is a sparse file, which OCI layers cannot hold", ErrFormat, h.Name)
	}
	return nil // devices and pipes are not part of a site
}

// sparse tells whether the bytes in the archive are not those of the file.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// content reads a file in chunks. archive/tar reads ahead of nothing, so the
// place in the stream is that of the chunk.
func (s *scanner) content(archive *tar.Reader, h *tar.Header) ([]tree.Chunk, error) {
	var chunks []tree.Chunk
	for off := int64(0); off < h.Size; {
		at := s.in.n
		data := s.buf[:min(ChunkSize, h.Size-off)]
		if _, err := io.ReadFull(archive, data); err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		s.keep(sum, data)
		chunks = append(chunks, tree.Chunk{Digest: sum, Size: int64(len(data)), Offset: off, Inner: at, Member: s.member})
		off += int64(len(data))
	}
	return chunks, nil
}
