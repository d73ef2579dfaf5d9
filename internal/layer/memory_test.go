package layer

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

// writeTable writes the JSON of a table of contents of n files, each a chunk in a
// member of its own, as the writers of others have it, then more.
func writeTable(w io.Writer, n int, more string) {
	fmt.Fprint(w, `{"version":1,"entries":[`)
	for i := range n {
		if i > 0 {
			fmt.Fprint(w, ",\n")
		}
		sum := sha256.Sum256(binary.LittleEndian.AppendUint32(nil, uint32(i)))
		fmt.Fprintf(w, `{"name":"dir%03d/page-%07d.html","type":"reg","size":10,"mode":33188,"offset":%d,"digest":"sha256:%x","chunkDigest":"sha256:%x"}`,
			i/1000, i, 100*i, sum, sum)
	}
	fmt.Fprint(w, "]", more, "}")
}

// tableOf is a stream of such a table in its archive, and its digest. It is made
// as it is read.
func tableOf(n int, more string) (io.Reader, digest.Digest) {
	sum := digest.SHA256.Digester()
	size := &sizeWriter{}
	writeTable(io.MultiWriter(sum.Hash(), size), n, more)
	r, w := io.Pipe()
	go func() {
		b := bufio.NewWriterSize(w, 64<<10)
		archive := tar.NewWriter(b)
		err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: tocName, Size: size.n})
		writeTable(archive, n, more)
		w.CloseWithError(errors.Join(err, archive.Close(), b.Flush()))
	}()
	return r, sum.Digest()
}

type sizeWriter struct{ n int64 }

func (s *sizeWriter) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	return len(p), nil
}

// height reads on, and measures at every stretch of a stream what is in use: on
// Go's heap, and outside of it.
type height struct {
	r              io.Reader
	every, left    int
	before, higher int64
}

func (h *height) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if h.left -= n; h.left <= 0 || err != nil {
		h.left = h.every
		h.higher = max(h.higher, inUse()-h.before)
	}
	return n, err
}

// inUse is what is in use of Go's heap, in bytes.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestAnIndexIsReadInLittleMemory: the tree that is being made takes 124 bytes
// for each file with a chunk and a member of its own, which its builder counts,
// and reading takes a few buffers beside it, wherever it is found that the table
// is not good.
func TestAnIndexIsReadInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("once: the plain run has it")
	}
	const files, each, beside = 1 << 18, 124, 4 << 20
	for name, more := range map[string]string{"good": "", "bad at its end": `,"entries":[]`} {
		table, sum := tableOf(files, more)
		h := &height{r: table, every: 8 << 20, before: inUse()}
		b := tree.NewBuilder()
		b.Limit = files * each
		err := ReadTOC(b, 0, 100*files, h, sum)
		if (err == nil) != (more == "") {
			t.Errorf("%s: %v", name, err)
		}
		if h.higher > beside {
			t.Errorf("%s: %d bytes are in use beside the tree at the height, want %d", name, h.higher, beside)
		}
		if err == nil {
			wantFlat(t, b, files)
		}
		b.Close()
		if left := inUse() - h.before; left > 1<<20 {
			t.Errorf("%s: %d bytes are in use in the end", name, left)
		}
	}
}

// wantFlat wants the tree to be made of b with little beside: four bytes each for
// the order of nodes and files, and that of members and their numbers.
func wantFlat(t *testing.T, b *tree.Builder, files int64) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	tr, _, err := b.Freeze(".")
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if beside := int64(after.TotalAlloc-before.TotalAlloc) - int64(len(tr.Bytes())); beside > 17*files {
		t.Errorf("making the tree allocates %d bytes a file beside it, want 16", beside/files)
	}
}
