package layer

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

// tarOf makes an archive of headers; a regular file's content is its Linkname.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content, Mode: 0o644}
}

func node(kind byte, name, target string) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o755}
}

func squeeze(t testing.TB, data []byte, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch format {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		w, _ = zstd.NewWriter(&b)
	default:
		return data
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// kept is content by digest.
type kept map[tree.Digest]string

func (k kept) keep(sum tree.Digest, data []byte) { k[sum] = string(data) }

// listing spells a tree: "path=content", "path/", "path -> target".
func listing(t *testing.T, tr *tree.Tree, k kept) string {
	t.Helper()
	var lines []string
	for n := range tr.All {
		switch tr.Kind(n) {
		case tree.Dir:
			lines = append(lines, tr.Path(n)+"/")
		case tree.Symlink:
			lines = append(lines, tr.Path(n)+" -> "+tr.Target(n))
		case tree.File:
			var content strings.Builder
			first, count := tr.Chunks(n)
			for i := first; i < first+uint32(count); i++ {
				got, ok := k[tr.Chunk(i).Digest]
				if !ok {
					t.Errorf("%s: chunk %d was not kept", tr.Path(n), i)
				}
				content.WriteString(got)
			}
			lines = append(lines, fmt.Sprintf("%s=%.20s", tr.Path(n), content.String()))
		}
	}
	return strings.Join(lines, " ")
}

// readers are the ways in which a layer becomes a tree with content.
var readers = map[string]func(t *testing.T, b *tree.Builder, archive []byte, k kept) func(*tree.Tree){
	"tar":                         scanAs(""),
	"tar+gzip":                    scanAs("gzip"),
	"tar+zstd":                    scanAs("zstd"),
	"eStargz":                     readEStargz(64<<10, 0),
	"eStargz with shared members": readEStargz(64<<10, 100<<10),
}

func scanAs(format string) func(*testing.T, *tree.Builder, []byte, kept) func(*tree.Tree) {
	return func(t *testing.T, b *tree.Builder, archive []byte, k kept) func(*tree.Tree) {
		blob := squeeze(t, archive, format)
		if err := Scan(b, 0, int64(len(blob)), bytes.NewReader(blob), k.keep); err != nil {
			t.Fatal(err)
		}
		return func(tr *tree.Tree) { unpackAll(t, tr, blob, k) }
	}
}

// readEStargz has the containerd project's writer make the blob.
func readEStargz(chunk, minChunk int) func(*testing.T, *tree.Builder, []byte, kept) func(*tree.Tree) {
	return func(t *testing.T, b *tree.Builder, archive []byte, k kept) func(*tree.Tree) {
		blob, toc := estargzOf(t, archive, chunk, minChunk)
		off, _, err := ParseFooter(blob[len(blob)-FooterSize:])
		if err != nil {
			t.Fatal(err)
		}
		if err := ReadTOC(b, 0, off, bytes.NewReader(blob[off:]), toc); err != nil {
			t.Fatal(err)
		}
		return func(tr *tree.Tree) { unpackAll(t, tr, blob, k) }
	}
}

func estargzOf(t testing.TB, archive []byte, chunk, minChunk int) ([]byte, digest.Digest) {
	t.Helper()
	made, err := estargz.Build(io.NewSectionReader(bytes.NewReader(archive), 0, int64(len(archive))),
		estargz.WithChunkSize(chunk), estargz.WithMinChunkSize(minChunk))
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	blob, err := io.ReadAll(made)
	if err != nil {
		t.Fatal(err)
	}
	return blob, made.TOCDigest()
}

// unpackAll reads every member, and only its own bytes.
func unpackAll(t *testing.T, tr *tree.Tree, blob []byte, k kept) {
	t.Helper()
	clear(k)
	for i := range uint32(tr.Members()) {
		m := tr.Member(i)
		if err := Unpack(tr, m, bytes.NewReader(blob[m.Offset:m.Offset+m.Size]), k.keep); err != nil {
			t.Errorf("member %d: %v", i, err)
		}
	}
}

func TestEveryFormatGivesTheSameTree(t *testing.T) {
	big := make([]byte, 300<<10)
	rand.NewChaCha8([32]byte{}).Read(big)
	archive := tarOf(t,
		node(tar.TypeDir, "./", ""), node(tar.TypeDir, "./app/", ""), file("./app/index.html", "hello"),
		file("app/empty", ""), file("/app/big", string(big)), file("app/deep/er/x", "made folders"),
		node(tar.TypeSymlink, "app/link", "deep/../index.html"), node(tar.TypeLink, "app/hard", "app/index.html"),
		file("app/last", strings.Repeat("text ", 30000)))
	want := fmt.Sprintf("app/ app/big=%.20s app/deep/ app/empty= app/hard=hello app/index.html=hello app/last=text text text text  "+
		"app/link -> index.html app/deep/er/ app/deep/er/x=made folders", big)
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			b, k := tree.NewBuilder(), kept{}
			unpackAgain := read(t, b, archive, k)
			tr, _, err := b.Freeze(".")
			if err != nil {
				t.Fatal(err)
			}
			if name == "tar" {
				if got := listing(t, tr, k); got != want {
					t.Errorf("kept by the scan: got %q, want %q", got, want)
				}
			}
			unpackAgain(tr)
			if got := listing(t, tr, k); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestUpperLayersHideLowerOnes(t *testing.T) {
	b, k := tree.NewBuilder(), kept{}
	for i, archive := range [][]byte{
		tarOf(t, file("a/keep", "1"), file("a/gone", "1"), file("b/all", "1"), file("b/c/all", "1"), file("f", "1"), file("d/x", "1")),
		tarOf(t, file("a/.wh.gone", ""), file("b/new", "2"), file("b/.wh..wh..opq", ""), node(tar.TypeDir, "f/", ""), file("d", "2"),
			file(".wh.never", ""), file("a/.wh..wh.plnk", "")),
	} {
		if err := Scan(b, i, int64(len(archive)), bytes.NewReader(archive), k.keep); err != nil {
			t.Fatal(err)
		}
	}
	tr, _, err := b.Freeze(".")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := listing(t, tr, k), "a/ b/ d=2 f/ a/keep=1 b/new=2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	for name, archive := range map[string][]byte{
		"leads out":               tarOf(t, file("../../etc/passwd", "x")),
		"leads out in the middle": tarOf(t, file("a/../../b", "x")),
		"hard link to nothing":    tarOf(t, node(tar.TypeLink, "a", "nothing")),
		"hard link in circles":    tarOf(t, node(tar.TypeLink, "a", "b"), node(tar.TypeLink, "b", "a")),
		"hard link out":           tarOf(t, node(tar.TypeLink, "a", "../../etc/passwd")),
		"name too long":           tarOf(t, file(strings.Repeat("n", 256), "x")),
		"truncated":               tarOf(t, file("a", strings.Repeat("x", 2000)))[:1500],
		"bomb":                    squeeze(t, tarOf(t, file("zero", strings.Repeat("\x00", alwaysAllowed+1))), "gzip"),
		"huge window":             {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x98, 0x01, 0x00, 0x00, 0x00},
	} {
		b := tree.NewBuilder()
		err := Scan(b, 0, int64(len(archive)), bytes.NewReader(archive), func(tree.Digest, []byte) {})
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestDevicesAreLeftOut(t *testing.T) {
	archive := tarOf(t, node(tar.TypeChar, "dev/null", ""), node(tar.TypeFifo, "pipe", ""), file("f", "x"))
	for name, read := range readers {
		b, k := tree.NewBuilder(), kept{}
		read(t, b, archive, k)
		if tr, _, err := b.Freeze("."); err != nil || tr.Len() != 2 {
			t.Errorf("%s: got %d nodes, %v; want the root and f", name, tr.Len(), err)
		}
	}
}

func TestDamageIsFoundBeforeAnyByteLeaves(t *testing.T) {
	blob, toc := estargzOf(t, tarOf(t, file("a", strings.Repeat("a", 5000)), file("b", strings.Repeat("b", 5000))), 4096, 0)
	off, _, err := ParseFooter(blob[len(blob)-FooterSize:])
	if err != nil {
		t.Fatal(err)
	}
	b := tree.NewBuilder()
	if err := ReadTOC(b, 0, off, bytes.NewReader(blob[off:]), toc); err != nil {
		t.Fatal(err)
	}
	tr, _, err := b.Freeze(".")
	if err != nil {
		t.Fatal(err)
	}
	for i := range blob {
		damaged := bytes.Clone(blob)
		damaged[i] ^= 4
		if int64(i) >= off {
			checkTOCDamage(t, damaged, off, i, toc)
			continue
		}
		for m := range uint32(tr.Members()) {
			r := tr.Member(m)
			_ = Unpack(tr, r, bytes.NewReader(damaged[r.Offset:r.Offset+r.Size]), func(sum tree.Digest, data []byte) {
				if sha256.Sum256(data) != sum {
					t.Fatalf("byte %d: wrong bytes were handed out", i)
				}
			})
		}
	}
}

// checkTOCDamage wants a damaged table refused, or, where the damage is in
// padding or in the header of gzip, to say the same as before.
func checkTOCDamage(t *testing.T, damaged []byte, off int64, i int, toc digest.Digest) {
	t.Helper()
	b := tree.NewBuilder()
	if err := ReadTOC(b, 0, off, bytes.NewReader(damaged[off:]), toc); err != nil {
		return
	}
	if tr, _, err := b.Freeze("."); err != nil || tr.Len() != 3 {
		t.Errorf("byte %d of a damaged table was believed: %v", i, err)
	}
}

func TestTablesThatLieAreRefused(t *testing.T) {
	sum := digest.FromString("x").String()
	reg := func(other ...string) string { // keys and values that differ from an honest entry's
		e := map[string]string{"name": `"f"`, "type": `"reg"`, "size": "10", "offset": "5", "chunkDigest": `"` + sum + `"`}
		for i := 0; i < len(other); i += 2 {
			e[other[i]] = other[i+1]
		}
		var fields []string
		for key, value := range e {
			fields = append(fields, fmt.Sprintf("%q:%s", key, value))
		}
		return "{" + strings.Join(fields, ",") + "}"
	}
	for name, c := range map[string]struct {
		entries string
		want    error
	}{
		"offset past the end":        {reg("offset", "1000"), ErrFormat},
		"negative size":              {reg("size", "-1"), ErrFormat},
		"negative inner offset":      {reg("innerOffset", "-1"), ErrFormat},
		"huge inner offset":          {reg("innerOffset", "99999999999"), ErrNoTOC},
		"chunks miss bytes":          {reg("chunkSize", "4"), ErrFormat},
		"chunk larger than the file": {reg("chunkSize", "11"), ErrFormat},
		"chunk of no file":           {`{"name":"f","type":"chunk","offset":5}`, ErrFormat},
		"huge chunk":                 {reg("size", "99999999999"), ErrNoTOC},
		"no chunk digest":            {reg("chunkDigest", `""`), ErrNoTOC},
		"other algorithm":            {reg("chunkDigest", `"`+digest.SHA512.FromString("x").String()+`"`), ErrNoTOC},
		"upper case digest":          {reg("chunkDigest", `"`+strings.ToUpper(sum)+`"`), ErrNoTOC},
		"leads out":                  {reg("name", `"../f"`), ErrFormat},
		"a key twice":                {`{"name":"f","name":"g","type":"dir"}`, ErrFormat},
		"size is no number":          {reg("size", `"10"`), ErrFormat},
		"size is no whole number":    {reg("size", "1e1"), ErrFormat},
		"size overflows":             {reg("size", "9223372036854775808"), ErrFormat},
		"deep nesting":               {reg("xattrs", strings.Repeat("[", 100)+strings.Repeat("]", 100)), ErrFormat},
		"a long string":              {reg("userName", `"`+strings.Repeat("x", maxString)+`"`), ErrFormat},
		"a long string with escapes": {reg("userName", `"\n`+strings.Repeat(`\"`, maxString)+`"`), ErrFormat},
		"not an object":              {`7`, ErrFormat},
	} {
		table := []byte(`{"version":1,"entries":[` + c.entries + `]}`)
		blob := squeeze(t, tarOf(t, file(tocName, string(table))), "gzip")
		err := ReadTOC(tree.NewBuilder(), 0, 100, bytes.NewReader(blob), digest.FromBytes(table))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if err := ReadTOC(tree.NewBuilder(), 0, 100, bytes.NewReader(blob), digest.FromString("other")); err == nil {
			t.Errorf("%s: a table that nobody vouches for was taken", name)
		}
	}
}

func FuzzReadTOC(f *testing.F) {
	f.Add([]byte(`{"version":1,"entries":[{"name":"a/","type":"dir"},{"name":"a/f","type":"reg","size":10,"offset":5,"chunkSize":4,"chunkDigest":"` +
		digest.FromString("x").String() + `"},{"name":"a/f","type":"chunk","offset":9,"chunkOffset":4,"chunkDigest":"` + digest.FromString("y").String() + `"}]}`))
	f.Add([]byte(`{"entries":[{"name":"l","type":"symlink","linkName":"../x"},{"name":"h","type":"hardlink","linkName":"l"}]}`))
	f.Fuzz(func(t *testing.T, table []byte) {
		b := tree.NewBuilder()
		blob := squeeze(t, tarOf(t, file(tocName, string(table))), "")
		if ReadTOC(b, 0, 100, bytes.NewReader(blob), digest.FromBytes(table)) != nil {
			return
		}
		if tr, _, err := b.Freeze("."); err == nil {
			for n := range tr.All {
				tr.Path(n)
			}
		}
	})
}

func FuzzScan(f *testing.F) {
	f.Add(tarOf(f, file("a/b", "hi"), node(tar.TypeSymlink, "l", "a"), file("a/.wh.b", ""), node(tar.TypeLink, "h", "a/b")))
	f.Add(squeeze(f, tarOf(f, file("a", "hi")), "gzip"))
	f.Add(squeeze(f, tarOf(f, file("a", "hi")), "zstd"))
	f.Fuzz(func(t *testing.T, blob []byte) {
		b := tree.NewBuilder()
		if Scan(b, 0, int64(len(blob)), bytes.NewReader(blob), func(tree.Digest, []byte) {}) == nil {
			if _, _, err := b.Freeze("."); err != nil {
				t.Errorf("a tree that was read cannot be made: %v", err)
			}
		}
	})
}
