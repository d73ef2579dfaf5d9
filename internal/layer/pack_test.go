package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"
)

// packTree is a source in memory. Names that end in "/" are folders, those
// with an arrow ("a -> b") symbolic links.
type packTree struct {
	entries  []PackEntry
	contents map[string][]byte
}

func newPackTree(namesAndContents ...string) *packTree {
	t := &packTree{contents: map[string][]byte{}}
	for i := 0; i < len(namesAndContents); i++ {
		name := namesAndContents[i]
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			t.entries = append(t.entries, PackEntry{Name: dir, Type: fs.ModeDir})
		} else if link, target, ok := strings.Cut(name, " -> "); ok {
			t.entries = append(t.entries, PackEntry{Name: link, Type: fs.ModeSymlink, Link: target})
		} else {
			i++
			t.file(name, []byte(namesAndContents[i]))
		}
	}
	return t
}

func (t *packTree) file(name string, content []byte) {
	t.entries = append(t.entries, PackEntry{Name: name, Size: int64(len(content))})
	t.contents[name] = content
}

func (t *packTree) Entries() []PackEntry { return t.entries }

func (t *packTree) Open(e PackEntry) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(t.contents[e.Name])), nil
}

// packPage is n bytes that compress about as text does, others for each seed.
// Large ones repeat themselves, because the race detector makes compressing
// slow.
func packPage(seed uint64, n int) []byte {
	const page = 15_000
	if n > 10*page {
		return bytes.Repeat(packPage(seed, page), n/page+1)[:n:n]
	}
	words := strings.Fields("a registry stores versions of files and serves them as a folder <p> <a href= </div> class= link page 2024")
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 0, n+16)
	for len(b) < n {
		b = append(b, words[r.IntN(len(words))]...)
		b = strconv.AppendUint(append(b, ' '), r.Uint64N(1<<12), 16)
		b = append(b, ' ')
	}
	return b[:n:n]
}

// mixedPackTree has content of every size around the places where members and
// chunks are cut.
var mixedPackTree = sync.OnceValue(func() *packTree {
	t := newPackTree("app/", "app/empty.txt", "", "app/a.txt", "a", "app/link -> a.txt", "app/sub/", "app/sub/up -> ../a.txt")
	for i, n := range []int{1, 511, 512, 513, 100, 30_000, 40_000, 5, memberSize - 1, 7, memberSize, memberSize + 1, 8,
		ChunkSize, 10, 2*ChunkSize + 1, 11, 0, 12} {
		t.file(fmt.Sprintf("app/sub/f%02d", i), packPage(uint64(i), n))
	}
	for i := range 40 {
		t.file(fmt.Sprintf("app/sub/small%02d", i), packPage(uint64(100+i), 4000))
	}
	return t
})

// manyMembersPackTree is packed into some 20 members.
func manyMembersPackTree() *packTree {
	t := newPackTree("app/")
	for i := range 100 {
		t.file(fmt.Sprintf("app/f%03d", i), packPage(uint64(i), 12_000))
	}
	t.file("app/large", packPage(1000, ChunkSize+1))
	return t
}

// mixedPackBytes packs mixedPackTree once for all tests that only read.
func mixedPackBytes(t *testing.T) ([]byte, Packed) {
	t.Helper()
	packMixedOnce.Do(func() { packedMixedBlob, packedMixed = packBytes(t, mixedPackTree()) })
	return packedMixedBlob, packedMixed
}

var (
	packMixedOnce   sync.Once
	packedMixedBlob []byte
	packedMixed     Packed
)

func packBytes(t testing.TB, src PackSource) ([]byte, Packed) {
	t.Helper()
	var b bytes.Buffer
	p, err := Pack(context.Background(), &b, src, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), p
}

func TestPackedLayerIsWhatItsDescriptionSays(t *testing.T) {
	src := mixedPackTree()
	blob, p := mixedPackBytes(t)
	if got, want := digest.FromBytes(blob), p.Digest; got != want {
		t.Errorf("got digest %q, want %q", got, want)
	}
	if got, want := int64(len(blob)), p.Size; got != want {
		t.Errorf("got size %d, want %d", got, want)
	}
	z, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := digest.FromBytes(plain), p.DiffID; got != want {
		t.Errorf("got diff id %q, want %q", got, want)
	}
	var bytes int64
	for _, c := range src.contents {
		bytes += int64(len(c))
	}
	if p.Files != len(src.contents) || p.Bytes != bytes {
		t.Errorf("got %d files of %d bytes, want %d of %d", p.Files, p.Bytes, len(src.contents), bytes)
	}
}

func TestPackedLayerIsAnOrdinaryTarGz(t *testing.T) {
	src := mixedPackTree()
	blob, _ := mixedPackBytes(t)
	z, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(z)
	for _, e := range src.entries {
		h, err := tr.Next()
		if err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		if got, want := strings.TrimSuffix(h.Name, "/"), e.Name; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || h.ModTime.Unix() != 0 || h.Linkname != e.Link {
			t.Errorf("%s: got %+v, want no owner and no time", e.Name, h)
		}
		wantMode := map[fs.FileMode]int64{0: 0o644, fs.ModeDir: 0o755, fs.ModeSymlink: 0o777}[e.Type]
		if h.Mode != wantMode {
			t.Errorf("%s: got mode %o, want %o", e.Name, h.Mode, wantMode)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content, src.contents[e.Name]) {
			t.Errorf("%s: got other bytes than were packed", e.Name)
		}
	}
	if h, err := tr.Next(); err != nil || h.Name != estargz.TOCTarName {
		t.Fatalf("got %v, %v, want the table of contents", h, err)
	}
	if h, err := tr.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, %v after the table of contents, want the end", h, err)
	}
}

// The containerd library is the oracle for what an eStargz is.
func TestPackedLayerIsAnEStargz(t *testing.T) {
	src := mixedPackTree()
	blob, p := mixedPackBytes(t)
	r := openEStargz(t, blob, p)
	for _, e := range src.entries {
		got, ok := r.Lookup(e.Name)
		if !ok {
			t.Fatalf("%s: not in the table of contents", e.Name)
		}
		if want := map[fs.FileMode]string{0: "reg", fs.ModeDir: "dir", fs.ModeSymlink: "symlink"}[e.Type]; got.Type != want {
			t.Errorf("%s: got type %q, want %q", e.Name, got.Type, want)
		}
		if e.Type == 0 {
			checkEStargzFile(t, r, got, src.contents[e.Name])
		}
	}
}

// VerifyTOC refuses any two files in one member (also those that the library
// wrote itself), so it can only be asked where each has its own.
func TestPackedLayerPassesVerifyTOC(t *testing.T) {
	src := newPackTree("app/")
	for i, n := range []int{memberSize, ChunkSize + 1, memberSize + 1} {
		src.file(fmt.Sprintf("app/f%d", i), packPage(uint64(i), n))
	}
	blob, p := packBytes(t, src)
	if _, err := openEStargz(t, blob, p).VerifyTOC(p.TOCDigest); err != nil {
		t.Error(err)
	}
}

func openEStargz(t *testing.T, blob []byte, p Packed) *estargz.Reader {
	t.Helper()
	sr := io.NewSectionReader(bytes.NewReader(blob), 0, int64(len(blob)))
	r, err := estargz.Open(sr)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.TOCDigest(), p.TOCDigest; got != want {
		t.Errorf("got TOC digest %q, want %q", got, want)
	}
	offset, size, err := estargz.OpenFooter(sr)
	if err != nil || offset != p.TOCOffset || size != footerSize {
		t.Errorf("got TOC at %d, footer of %d, %v; want %d, %d", offset, size, err, p.TOCOffset, footerSize)
	}
	return r
}

// checkEStargzFile reads a file as a whole and by its chunks, and compares the
// digests in the table.
func checkEStargzFile(t *testing.T, r *estargz.Reader, e *estargz.TOCEntry, want []byte) {
	t.Helper()
	f, err := r.OpenFile(e.Name)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := e.Digest, digest.FromBytes(want).String(); got != want {
		t.Errorf("%s: got digest %q, want %q", e.Name, got, want)
	}
	for off := int64(0); off < int64(len(want)); {
		c, ok := r.ChunkEntryForOffset(e.Name, off)
		if !ok || c.ChunkOffset != off || c.Offset == 0 {
			t.Fatalf("%s: got chunk %+v, %v for offset %d", e.Name, c, ok, off)
		}
		got := make([]byte, c.ChunkSize)
		if _, err := f.ReadAt(got, off); err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		if !bytes.Equal(got, want[off:off+c.ChunkSize]) {
			t.Errorf("%s: got other bytes than were packed at %d", e.Name, off)
		}
		if got, want := c.ChunkDigest, digest.FromBytes(got).String(); got != want {
			t.Errorf("%s: got chunk digest %q, want %q", e.Name, got, want)
		}
		off += c.ChunkSize
	}
}

// One range per content: it begins at its member's offset, and the member ends
// before the next member's or the table's.
func TestPackedContentLiesInsideItsMember(t *testing.T) {
	src := mixedPackTree()
	blob, p := mixedPackBytes(t)
	table := packedTable(t, blob, p)
	ends := map[int64]int64{}
	last := int64(-1)
	for _, e := range table.Entries {
		if e.Offset != 0 && e.Offset != last {
			ends[last], last = e.Offset, e.Offset
		}
	}
	ends[last] = p.TOCOffset
	members := 0
	for _, e := range table.Entries {
		if e.Offset == 0 {
			continue
		}
		if e.InnerOffset == 0 {
			members++
		}
		z, err := gzip.NewReader(bytes.NewReader(blob[e.Offset:ends[e.Offset]]))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		size := e.ChunkSize
		if size == 0 {
			size = int64(len(src.contents[e.Name])) - e.ChunkOffset
		}
		if got, want := digest.FromBytes(plain[e.InnerOffset:e.InnerOffset+size]).String(), e.ChunkDigest; got != want {
			t.Errorf("%s at %d: got %q in its member, want %q", e.Name, e.ChunkOffset, got, want)
		}
		if size < memberSize && len(plain) > 2*memberSize+8*tarBlock {
			t.Errorf("%s of %d bytes: lies in a member of %d", e.Name, size, len(plain))
		}
	}
	if members != len(ends)-1 {
		t.Errorf("got %d members that begin with a content, want all %d", members, len(ends)-1)
	}
}

func packedTable(t *testing.T, blob []byte, p Packed) toc {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(blob[p.TOCOffset : p.Size-footerSize]))
	if err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(z)
	if _, err := tr.Next(); err != nil {
		t.Fatal(err)
	}
	var table toc
	if err := json.NewDecoder(tr).Decode(&table); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestPackDoesNotDependOnProcessors(t *testing.T) {
	src := manyMembersPackTree()
	_, want := packBytes(t, src)
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, n := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(n)
		if _, got := packBytes(t, src); got != want {
			t.Errorf("GOMAXPROCS=%d: got %+v, want %+v", n, got, want)
		}
	}
}

// A change here means new digests for every site: only on purpose, and said in
// the notes of a version.
func TestPackGolden(t *testing.T) {
	src := newPackTree("app/", "app/index.html", "<h1>hello</h1>\n", "app/latest -> notes", "app/notes/", "app/notes/empty", "",
		"app/notes/"+strings.Repeat("long-", 40), "a name for PAX", "app/notes/é.txt", "another")
	src.file("app/page.html", packPage(1, 100_000))
	src.file("app/zoo.bin", packPage(2, ChunkSize+100_000))
	_, p := packBytes(t, src)
	for _, c := range []struct{ what, got, want string }{
		{"digest", p.Digest.String(), "sha256:f582c6d15fb9d09694762aa8926df49447494ed1abb11431c921cf6c256878a8"},
		{"diff id", p.DiffID.String(), "sha256:90cdaff6b7d973305e8572fc530858ab0326c153871f180874478f718bb486d7"},
		{"TOC digest", p.TOCDigest.String(), "sha256:3be23ee0386850e19ce1a5f18c4ce5060cd0f675187a32d495bef525c66722b9"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
}

func TestPackOfNothingIsALayer(t *testing.T) {
	blob, p := packBytes(t, newPackTree())
	openEStargz(t, blob, p)
	blob, p = packBytes(t, newPackTree("app/", "app/empty", ""))
	if e, ok := openEStargz(t, blob, p).Lookup("app/empty"); !ok || e.Size != 0 {
		t.Errorf("got %v, %v, want an empty file", e, ok)
	}
}

// Entries without content must not gather without bound.
func TestPackCutsLongRowsOfEmptyFiles(t *testing.T) {
	src := newPackTree("app/", "app/a", "first")
	for i := range ChunkSize/tarBlock + 100 {
		src.file(fmt.Sprintf("app/e%05d", i), nil)
	}
	src.file("app/z", []byte("last"))
	blob, p := packBytes(t, src)
	r := openEStargz(t, blob, p)
	for _, name := range []string{"app/a", "app/z"} {
		e, _ := r.Lookup(name)
		checkEStargzFile(t, r, e, src.contents[name])
		if e.InnerOffset != 0 {
			t.Errorf("%s: got inner offset %d, want 0", name, e.InnerOffset)
		}
	}
}

func TestPackNamesAFileThatChanges(t *testing.T) {
	for _, size := range []int64{0, 3, 5, ChunkSize + 5} {
		src := newPackTree("app/", "app/log.txt", "1234")
		src.entries[1].Size = size
		_, err := Pack(context.Background(), io.Discard, src, nil)
		if err == nil || !strings.Contains(err.Error(), "app/log.txt: changed while it was packed") {
			t.Errorf("size %d: got %v, want an error that names app/log.txt", size, err)
		}
	}
}

func TestPackRefusesNamesThatNoLayerCanHold(t *testing.T) {
	for _, name := range []string{"", ".", "/a", "a/../b", "a//b", "a/", "a\xff", tocName} {
		src := &packTree{entries: []PackEntry{{Name: name}}}
		if _, err := Pack(context.Background(), io.Discard, src, nil); err == nil {
			t.Errorf("%q: got no error, want one", name)
		}
	}
}

type failingWriter struct{ left int }

var errDiskFull = errors.New("disk full")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errDiskFull
	}
	return len(p), nil
}

func TestPackEndsWithTheWritersError(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, left := range []int{0, 50_000, 300_000} {
		if _, err := Pack(context.Background(), &failingWriter{left}, manyMembersPackTree(), nil); !errors.Is(err, errDiskFull) {
			t.Errorf("got %v, want %v", err, errDiskFull)
		}
	}
}

func TestPackEndsWhenCancelled(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Pack(ctx, io.Discard, manyMembersPackTree(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// BenchmarkPack packs 120 MB of 8,000 pages, as a documentation site has them.
func BenchmarkPack(b *testing.B) {
	src := newPackTree("app/")
	for i := range 8000 {
		src.file(fmt.Sprintf("app/p%04d.html", i), packPage(uint64(i), 15_000))
	}
	b.SetBytes(8000 * 15_000)
	for b.Loop() {
		p, err := Pack(b.Context(), io.Discard, src, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(p.Size), "blob-bytes")
	}
}
