package layer

import (
	"archive/tar"
	"bytes"
	_ "crypto/sha512" // a table's digest may be by sha512
	"fmt"
	"io"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

// maxTOC bounds the JSON of a table of contents in bytes: tree.MaxNodes entries
// of the usual 330.
const maxTOC = 384 << 20

// FooterSize is how many bytes at the end of a blob ParseFooter needs.
const FooterSize = footerSize

// ParseFooter tells at which offset of the blob the table of contents begins,
// and how many bytes of footer follow it. tail is the last FooterSize bytes;
// the error is ErrNoTOC if they are not the end of an eStargz or stargz.
func ParseFooter(tail []byte) (offset, length int64, err error) {
	if len(tail) != footerSize {
		return 0, 0, ErrNoTOC
	}
	length = footerSize
	digits := tail[16:38]
	if legacy := tail[footerSize-legacyFooterSize:]; bytes.HasPrefix(legacy, gzipMagic) && string(legacy[28:34]) == footerText {
		length, tail, digits = legacyFooterSize, legacy, legacy[12:34]
	}
	if !bytes.HasPrefix(tail, gzipMagic) || string(digits[16:]) != footerText {
		return 0, 0, ErrNoTOC
	}
	offset, err = strconv.ParseInt(string(digits[:16]), 16, 64)
	if err != nil || offset <= 0 {
		return 0, 0, ErrNoTOC
	}
	return offset, length, nil
}

// ReadTOC puts the files of an eStargz layer into b. r holds the blob's bytes
// from the offset of the table on; layer is its number in the manifest; want is
// what the manifest says the digest of the table's JSON is.
//
// Errors:
//   - those of r, which come first.
//   - ErrNoTOC if the table lacks what would let chunks be verified; b is then as
//     it was.
//   - ErrDigest if it is not the table that the manifest means.
//   - ErrFormat if it is, and makes no sense.
func ReadTOC(b *tree.Builder, layer int, offset int64, r io.Reader, want digest.Digest) error {
	p := newTOCParser(b, layer, offset)
	in := &source{r: r}
	err := p.readStargz(in, want)
	return p.finish(in.or(err))
}

// source remembers how reading it ended.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // only the bare one is an end
		s.err = err
	}
	return n, err
}

// or is the error of the source if there was one, else err: where bytes are
// missing, what was made of the rest says nothing.
func (s *source) or(err error) error {
	if s.err != nil {
		return s.err
	}
	return err
}

// readStargz reads a table that is the only entry of a tar.gz.
func (p *tocParser) readStargz(r io.Reader, want digest.Digest) error {
	z, err := decompress(r, 0, p.b.Reserve)
	if err != nil {
		return err
	}
	defer z.Close()
	archive := tar.NewReader(z)
	h, err := archive.Next()
	if err != nil || h.Name != tocName || h.Size > maxTOC {
		return fmt.Errorf("%w: not where it should be", ErrFormat)
	}
	return p.check(archive, want)
}

// ZstdTOC says what vouches for the table of contents of a zstd:chunked layer.
type ZstdTOC struct {
	Digest digest.Digest // of the compressed table
	JSON   digest.Digest // of the uncompressed one, "" if nobody says
	Size   int64         // of the uncompressed one, in bytes
}

// ReadZstdTOC is ReadTOC for a zstd:chunked layer; r is the compressed table and
// nothing else.
func ReadZstdTOC(b *tree.Builder, layer int, offset int64, r io.Reader, want ZstdTOC) error {
	p := newTOCParser(b, layer, offset)
	in := &source{r: r}
	verifier := want.Digest.Verifier()
	table := io.TeeReader(in, verifier)
	err := p.readZstd(table, want)
	if _, lost := io.Copy(io.Discard, table); lost == nil && !verifier.Verified() {
		err = fmt.Errorf("%w %s", ErrDigest, want.Digest) // it looks malformed, too
	}
	return p.finish(in.or(err))
}

func (p *tocParser) readZstd(r io.Reader, want ZstdTOC) error {
	if want.Size > maxTOC {
		return fmt.Errorf("%w: a table of %d bytes, more than %d", ErrFormat, want.Size, maxTOC)
	}
	z, err := unzstd(r, want.Size, p.b.Reserve)
	if err != nil {
		return err
	}
	defer z.Close()
	body := &counter{r: z, limit: want.Size}
	if want.JSON != "" {
		err = p.check(body, want.JSON)
	} else {
		err = p.parse(newJSONReader(body))
	}
	if err == nil && body.n != want.Size {
		err = fmt.Errorf("%w: %d bytes, not %d", ErrFormat, body.n, want.Size)
	}
	return err
}
