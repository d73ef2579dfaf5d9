package layer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

// BenchmarkReadTOC makes a tree of a table of contents with 8,000 files, which
// is most of what resolving a tag takes on this side of the network.
func BenchmarkReadTOC(b *testing.B) {
	var headers []tar.Header
	for i := range 8000 {
		headers = append(headers, file(fmt.Sprintf("app/dir%02d/file-%04d.html", i%80, i), fmt.Sprint("content ", i)))
	}
	blob, toc := estargzOf(b, tarOf(b, headers...), 4<<20, 64<<10)
	off, _, err := ParseFooter(blob[len(blob)-FooterSize:])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("TOC", func(b *testing.B) { benchmarkReadTOC(b, blob[off:], off, toc) })
	b.Run("Load", func(b *testing.B) {
		flat := readTOCTree(b, blob[off:], off, toc).Bytes()
		b.SetBytes(int64(len(flat)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tree.Load(flat); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchmarkReadTOC(b *testing.B, table []byte, off int64, toc digest.Digest) {
	b.ReportAllocs()
	for b.Loop() {
		readTOCTree(b, table, off, toc)
	}
}

func readTOCTree(b *testing.B, table []byte, off int64, toc digest.Digest) *tree.Tree {
	t := tree.NewBuilder()
	defer t.Close()
	if err := ReadTOC(t, 0, off, bytes.NewReader(table), toc); err != nil {
		b.Fatal(err)
	}
	tr, _, err := t.Freeze("app")
	if err != nil {
		b.Fatal(err)
	}
	return tr
}
