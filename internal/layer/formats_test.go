package layer

import (
	"archive/tar"
	"bytes"
	stdgzip "compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

func init() {
	readers["stargz"] = readStargz
	readers["zstd:chunked of stargz-snapshotter"] = readZstdChunked
}

// legacy writes what CRFS's stargz wrote: no digests of chunks, and the shorter
// footer.
type legacy struct {
	*estargz.GzipCompressor
	*estargz.LegacyGzipDecompressor
}

func (l legacy) Writer(w io.Writer) (estargz.WriteFlushCloser, error) {
	return l.GzipCompressor.Writer(w)
}

func (l legacy) WriteTOCAndFooter(w io.Writer, off int64, table *estargz.JTOC, _ hash.Hash) (digest.Digest, error) {
	for _, e := range table.Entries {
		e.ChunkDigest = ""
	}
	text, err := json.Marshal(table)
	if err != nil {
		return "", err
	}
	gz := gzip.NewWriter(w)
	tw := tar.NewWriter(gz)
	err = tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: estargz.TOCTarName, Size: int64(len(text))})
	_, more := tw.Write(text)
	if err := errors.Join(err, more, tw.Close(), gz.Close()); err != nil {
		return "", err
	}
	footer, err := stdgzip.NewWriterLevel(w, stdgzip.NoCompression)
	if err != nil {
		return "", err
	}
	footer.Extra = fmt.Appendf(nil, "%016xSTARGZ", off)
	return digest.FromBytes(text), footer.Close()
}

// readStargz reads a layer of one-chunk files by its footer.
func readStargz(t *testing.T, b *tree.Builder, archive []byte, k kept) func(*tree.Tree) {
	made, err := estargz.Build(io.NewSectionReader(bytes.NewReader(archive), 0, int64(len(archive))),
		estargz.WithCompression(legacy{estargz.NewGzipCompressor(), &estargz.LegacyGzipDecompressor{}}))
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	blob, err := io.ReadAll(made)
	if err != nil {
		t.Fatal(err)
	}
	off, length, err := ParseFooter(blob[len(blob)-FooterSize:])
	if err != nil || length != legacyFooterSize {
		t.Fatalf("footer of %d bytes: %v", length, err)
	}
	table := blob[off : len(blob)-int(length)]
	if err := ReadTOC(b, 0, off, bytes.NewReader(table), made.TOCDigest()); err != nil {
		t.Fatal(err)
	}
	return func(tr *tree.Tree) { unpackAll(t, tr, blob, k) }
}

// zstdLayer is a layer that the containerd project's writer of zstd:chunked
// made, and what its annotations say.
type zstdLayer struct {
	blob   []byte
	offset int64
	table  []byte
	want   ZstdTOC
}

func zstdChunked(t *testing.T, archive []byte) zstdLayer {
	t.Helper()
	said := map[string]string{}
	made, err := estargz.Build(io.NewSectionReader(bytes.NewReader(archive), 0, int64(len(archive))),
		estargz.WithChunkSize(64<<10), estargz.WithCompression(struct {
			*zstdchunked.Compressor
			*zstdchunked.Decompressor
		}{&zstdchunked.Compressor{CompressionLevel: zstd.SpeedDefault, Metadata: said}, &zstdchunked.Decompressor{}}))
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	l := zstdLayer{want: ZstdTOC{Digest: digest.Digest(said[zstdchunked.ManifestChecksumAnnotation]), JSON: made.TOCDigest()}}
	if l.blob, err = io.ReadAll(made); err != nil {
		t.Fatal(err)
	}
	var length int64
	if _, err := fmt.Sscanf(said[zstdchunked.ManifestPositionAnnotation], "%d:%d:%d:1", &l.offset, &length, &l.want.Size); err != nil {
		t.Fatal(err)
	}
	l.table = l.blob[l.offset : l.offset+length]
	return l
}

func readZstdChunked(t *testing.T, b *tree.Builder, archive []byte, k kept) func(*tree.Tree) {
	l := zstdChunked(t, archive)
	if err := ReadZstdTOC(b, 0, l.offset, bytes.NewReader(l.table), l.want); err != nil {
		t.Fatal(err)
	}
	return func(tr *tree.Tree) { unpackAll(t, tr, l.blob, k) }
}

func TestAZstdTableIsWhatItsDigestsSay(t *testing.T) {
	good := zstdChunked(t, tarOf(t, file("a", strings.Repeat("a", 5000)), file("b", "b")))
	for name, change := range map[string]func(*zstdLayer){
		"damaged":             func(l *zstdLayer) { l.table = bytes.Clone(l.table); l.table[len(l.table)/2] ^= 1 },
		"cut":                 func(l *zstdLayer) { l.table = l.table[:len(l.table)-1] },
		"other digest":        func(l *zstdLayer) { l.want.Digest = digest.FromString("other") },
		"other digest inside": func(l *zstdLayer) { l.want.JSON = digest.FromString("other") },
	} {
		l := good
		change(&l)
		if err := ReadZstdTOC(tree.NewBuilder(), 0, l.offset, bytes.NewReader(l.table), l.want); !errors.Is(err, ErrDigest) {
			t.Errorf("%s: got %v, want %v", name, err, ErrDigest)
		}
	}
	for name, change := range map[string]func(*zstdLayer){
		"longer than it says":  func(l *zstdLayer) { l.want.Size-- },
		"shorter than it says": func(l *zstdLayer) { l.want.Size++ },
		"too long":             func(l *zstdLayer) { l.want.Size = maxTOC + 1 },
		"not compressed":       func(l *zstdLayer) { l.table = []byte("{}"); l.want.Digest = digest.FromBytes(l.table) },
		"chunks past its end":  func(l *zstdLayer) { l.offset = 10 },
	} {
		l := good
		l.want.JSON = ""
		change(&l)
		if err := ReadZstdTOC(tree.NewBuilder(), 0, l.offset, bytes.NewReader(l.table), l.want); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want %v", name, err, ErrFormat)
		}
	}
}

// TestFilesAreBlobsAsTheyAre: a blob that looks compressed is not unpacked.
func TestFilesAreBlobsAsTheyAre(t *testing.T) {
	blob := squeeze(t, bytes.Repeat([]byte("text "), 100), "gzip")
	sum := sha256.Sum256(blob)
	large := bytes.Repeat([]byte("0123456789abcdef"), (2*ChunkSize+1000)/16)
	b, k := tree.NewBuilder(), kept{}
	for _, err := range []error{
		AddFile(b, 0, "./docs/a.gz", int64(len(blob)), sum),
		ScanFile(b, 1, "large", int64(len(large)), bytes.NewReader(large), k.keep),
		AddFile(b, 2, "empty", 0, sha256.Sum256(nil)),
		ScanFile(b, 3, "empty too", 0, bytes.NewReader(nil), k.keep),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tr, _, err := b.Freeze(".")
	if err != nil {
		t.Fatal(err)
	}
	blobs := [][]byte{blob, large}
	clear(k)
	for i := range uint32(tr.Members()) {
		m := tr.Member(i)
		if err := Unpack(tr, m, bytes.NewReader(blobs[m.Layer][m.Offset:m.Offset+m.Size]), k.keep); err != nil {
			t.Error(err)
		}
	}
	if tr.Members() != 4 {
		t.Errorf("got %d ranges, want one for the small blob and three for the large", tr.Members())
	}
	want := fmt.Sprintf("docs/ empty= empty too= large=%.20s docs/a.gz=%.20s", large, blob)
	if got := listing(t, tr, k); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, title := range []string{"", ".", "/", "../a", "a/../../b", ".wh.a", "d/.wh..wh..opq", "a\x00b", strings.Repeat("n", 256)} {
		if err := AddFile(tree.NewBuilder(), 0, title, 1, sum); !errors.Is(err, ErrFormat) {
			t.Errorf("title %.40q: got %v, want %v", title, err, ErrFormat)
		}
	}
}

// TestAFolderKeepsToItsTitle: what another tool unpacks into one folder does not
// write beside it.
func TestAFolderKeepsToItsTitle(t *testing.T) {
	for name, inside := range map[string]bool{"docs": true, "docs/": true, "./docs/a/b": true, "docsother": false, "other/docs": false, "doc": false} {
		archive := tarOf(t, file("docs/x", "x"), node(tar.TypeDir, name, ""))
		err := ScanBelow(tree.NewBuilder(), 0, int64(len(archive)), "docs", bytes.NewReader(archive), func(tree.Digest, []byte) {})
		if inside != (err == nil) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestDamageIsNotTakenForMalformation: what the reader of a blob says in the
// end about its bytes comes before what they looked like.
func TestDamageIsNotTakenForMalformation(t *testing.T) {
	damaged := errors.New("damaged")
	archive := squeeze(t, tarOf(t, file("a", strings.Repeat("a", 100_000))), "gzip")
	archive[len(archive)/2] ^= 1
	r := io.MultiReader(bytes.NewReader(archive), iotestErr{damaged})
	if err := Scan(tree.NewBuilder(), 0, int64(len(archive)), r, func(tree.Digest, []byte) {}); !errors.Is(err, damaged) {
		t.Errorf("got %v, want %v", err, damaged)
	}
}

type iotestErr struct{ error }

func (e iotestErr) Read([]byte) (int, error) { return 0, e.error }

func TestFooters(t *testing.T) {
	modern := append([]byte("\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x1a\x00SG\x16\x00"), "00000000000000ffSTARGZ"...)
	modern = append(modern, make([]byte, footerSize-len(modern))...)
	old := append([]byte("....\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x16\x00"), "0000000000000100STARGZ"...)
	old = append(old, make([]byte, footerSize-len(old))...)
	for name, c := range map[string]struct {
		tail           []byte
		offset, length int64
	}{
		"eStargz":     {modern, 255, footerSize},
		"stargz":      {old, 256, legacyFooterSize},
		"short":       {modern[1:], 0, 0},
		"no magic":    {append([]byte{0}, modern[1:]...), 0, 0},
		"no offset":   {bytes.Replace(modern, []byte("ff"), []byte("zz"), 1), 0, 0},
		"zero":        {bytes.Replace(modern, []byte("ff"), []byte("00"), 1), 0, 0},
		"something":   {bytes.Repeat([]byte{'x'}, footerSize), 0, 0},
		"half of old": {slices.Concat(old[4:], []byte("....")), 0, 0},
	} {
		offset, length, err := ParseFooter(c.tail)
		if offset != c.offset || length != c.length || (err == nil) != (c.offset > 0) {
			t.Errorf("%s: got %d, %d, %v, want %d, %d", name, offset, length, err, c.offset, c.length)
		}
	}
}

// TestATableThatCannotBeUsedLeavesNothing: the layer can be read as a whole
// afterwards, in a tree that is empty and on top of another layer.
func TestATableThatCannotBeUsedLeavesNothing(t *testing.T) {
	sum := digest.FromString("x").String()
	table := `{"version":1,"entries":[{"name":"other","type":"dir"},{"name":"f","type":"reg","size":9,"chunkSize":4,"chunkDigest":"` + sum +
		`"},{"name":"f","type":"chunk","chunkOffset":4}]}`
	blob := squeeze(t, tarOf(t, file(tocName, table)), "gzip")
	for want, lower := range map[string][]byte{"f=upper": nil, "f=upper g=g": tarOf(t, file("f", "lower"), file("g", "g"))} {
		b, k := tree.NewBuilder(), kept{}
		if lower != nil {
			if err := Scan(b, 0, int64(len(lower)), bytes.NewReader(lower), k.keep); err != nil {
				t.Fatal(err)
			}
		}
		if err := ReadTOC(b, 1, 100, bytes.NewReader(blob), digest.FromString(table)); !errors.Is(err, ErrNoTOC) {
			t.Errorf("got %v, want %v", err, ErrNoTOC)
		}
		upper := tarOf(t, file("f", "upper"))
		if err := Scan(b, 1, int64(len(upper)), bytes.NewReader(upper), k.keep); err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		tr, _, err := b.Freeze(".")
		if err != nil {
			t.Fatal(err)
		}
		if got := listing(t, tr, k); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestTablesThatAreNotUnderstoodAreNotUsed: then the whole layer is read.
func TestTablesThatAreNotUnderstoodAreNotUsed(t *testing.T) {
	sum := hex.EncodeToString(make([]byte, 32))
	for name, c := range map[string]struct {
		table string
		want  error
	}{
		"other version":            {`{"version":2,"entries":[]}`, ErrNoTOC},
		"no version":               {`{"entries":[]}`, ErrNoTOC},
		"nothing":                  {`{"version":1,"entries":null}`, nil},
		"two lists":                {`{"version":1,"entries":[],"entries":[{"name":"a","type":"dir"}]}`, ErrFormat},
		"something behind":         {`{"version":1,"entries":[]} {}`, ErrFormat},
		"unknown type":             {`{"version":1,"entries":[{"name":"a","type":"door"}]}`, ErrFormat},
		"chunks without digests":   {`{"version":1,"entries":[{"name":"a","type":"reg","size":9,"chunkSize":4,"digest":"sha256:` + sum + `"}]}`, ErrNoTOC},
		"one chunk, digest of all": {`{"version":1,"entries":[{"name":"a","type":"reg","size":9,"digest":"sha256:` + sum + `"}]}`, nil},
	} {
		blob := squeeze(t, tarOf(t, file(tocName, c.table)), "gzip")
		err := ReadTOC(tree.NewBuilder(), 0, 100, bytes.NewReader(blob), digest.FromString(c.table))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}
