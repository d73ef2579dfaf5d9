package layer

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
)

// packJoiner writes compressed members one after the other, and at last the
// table of contents that says where they are.
type packJoiner struct {
	w      io.Writer
	blob   hash.Hash
	diff   hash.Hash
	offset int64 // in the blob
	toc    toc
	whole  hash.Hash // of the chunked file whose chunks are coming by
	inFile int       // that file's entry in toc
	packed Packed
}

func newPackJoiner(w io.Writer) *packJoiner {
	return &packJoiner{w: w, blob: sha256.New(), diff: sha256.New(), toc: toc{Version: 1}}
}

func (j *packJoiner) write(p []byte) error {
	n, err := j.w.Write(p)
	j.blob.Write(p[:n])
	j.offset += int64(n)
	return err
}

// add writes m and notes its entries.
func (j *packJoiner) add(m *packMember) error {
	for _, c := range m.contents {
		e := &m.entries[c.entry]
		e.Offset = j.offset
		j.digestChunked(e, len(j.toc.Entries)+c.entry, m.plain[c.start:c.end])
	}
	j.toc.Entries = append(j.toc.Entries, m.entries...)
	for _, e := range m.entries {
		j.count(e)
	}
	j.diff.Write(m.plain)
	return j.write(m.compressed.Bytes())
}

// digestChunked gathers the digest of a file in several chunks. Its first entry
// alone has a size and a chunk size, its last has no chunk size.
func (j *packJoiner) digestChunked(e *tocEntry, index int, content []byte) {
	switch {
	case e.Type == "reg" && e.ChunkSize == 0:
		return
	case e.Type == "reg":
		j.whole, j.inFile = sha256.New(), index
	}
	j.whole.Write(content)
	if e.ChunkSize == 0 {
		j.toc.Entries[j.inFile].Digest = digest.NewDigest(digest.SHA256, j.whole).String()
	}
}

func (j *packJoiner) count(e tocEntry) {
	if e.Type == "reg" {
		j.packed.Files++
		j.packed.Bytes += e.Size
	}
}

// finish writes the table of contents, the end of the tar stream and the
// footer.
func (j *packJoiner) finish() (Packed, error) {
	table, err := json.Marshal(j.toc)
	if err != nil {
		return Packed{}, fmt.Errorf("table of contents: %w", err)
	}
	j.packed.TOCDigest = digest.FromBytes(table)
	j.packed.TOCOffset = j.offset
	if err := j.writeTable(table); err != nil {
		return Packed{}, err
	}
	if err := j.write(footer(j.packed.TOCOffset)); err != nil {
		return Packed{}, err
	}
	j.packed.DiffID = digest.NewDigest(digest.SHA256, j.diff)
	j.packed.Digest = digest.NewDigest(digest.SHA256, j.blob)
	j.packed.Size = j.offset
	return j.packed, nil
}

func (j *packJoiner) writeTable(table []byte) error {
	plain, err := tarHeader(&tar.Header{Typeflag: tar.TypeReg, Name: tocName, Size: int64(len(table)), Mode: 0o644})
	if err != nil {
		return err
	}
	plain = append(plain, table...)
	plain = append(plain, tarPadding(len(plain))...)
	plain = append(plain, make([]byte, 2*tarBlock)...) // the end of a tar stream
	j.diff.Write(plain)

	var compressed bytes.Buffer
	z, err := gzip.NewWriterLevel(&compressed, packLevel)
	if err != nil {
		return err
	}
	if _, err := z.Write(plain); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return j.write(compressed.Bytes())
}

// footer is the last footerSize bytes of the layer: see there.
func footer(tocOffset int64) []byte {
	const flagExtra, unknownOS = 4, 255
	b := []byte{0x1f, 0x8b, 8, flagExtra, 0, 0, 0, 0, 0, unknownOS}
	b = append(b, 26, 0, 'S', 'G', 22, 0)
	b = fmt.Appendf(b, "%016xSTARGZ", tocOffset)
	b = append(b, 1, 0, 0, 0xff, 0xff)
	return append(b, make([]byte, 8)...)
}
