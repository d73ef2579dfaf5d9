package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/regfs/regfs/internal/tree"
)

// naive is what unpacking an archive with archive/tar, entry by entry, leaves:
// path to what is there. It is the way in which umoci and container engines
// unpack a single layer.
func naive(archive []byte) (map[string]string, error) {
	found := map[string]string{}
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if found[dir] == "" {
				found[dir] = "folder"
			}
		}
		switch h.Typeflag {
		case tar.TypeReg:
			text, err := io.ReadAll(r)
			if err != nil {
				return nil, err
			}
			found[name] = "file " + string(text)
		case tar.TypeDir:
			found[name] = "folder"
		case tar.TypeLink:
			target := found[strings.TrimPrefix(path.Clean("/"+h.Linkname), "/")]
			if target == "" {
				return nil, errLater
			}
			found[name] = target
		case tar.TypeXGlobalHeader:
		default:
			return nil, fmt.Errorf("type %q", h.Typeflag)
		}
		delete(found, "")
	}
}

// errLater is of a hard link to what comes later, which unpackers cannot make:
// here it is what was meant.
var errLater = errors.New("a hard link to what comes later")

// ours is the same by way of Scan.
func ours(archive []byte) (map[string]string, error) {
	b, k := tree.NewBuilder(), kept{}
	if err := Scan(b, 0, int64(len(archive)), bytes.NewReader(archive), k.keep); err != nil {
		return nil, err
	}
	tr, _, err := b.Freeze(".")
	if err != nil {
		return nil, err
	}
	return described(tr, k), nil
}

// described gives what is under each path of a tree.
func described(tr *tree.Tree, k kept) map[string]string {
	found := map[string]string{}
	for n := range tr.All {
		what := "folder"
		if tr.Kind(n) == tree.File {
			what = "file "
			first, count := tr.Chunks(n)
			for i := range uint32(count) {
				what += k[tr.Chunk(first+i).Digest]
			}
		}
		found[tr.Path(n)] = what
	}
	return found
}

// generator makes archives that are nearly right.
type generator struct{ *rand.Rand }

func (g generator) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g generator) name() string {
	return g.pick("a", "b", "a/b", "a/c", "./a", "c/", "a/", "c/d", "/a", "a//b", "..", "a/../b", "long", "e\xff", "A")
}

func (g generator) archive() []byte {
	var all []byte
	for range 1 + g.IntN(5) {
		if g.IntN(4) == 0 {
			all = append(all, g.extended()...)
		}
		e := rawEntry{name: g.name(), content: strings.Repeat("x", g.IntN(3)*g.IntN(600))}
		if g.IntN(3) == 0 {
			e.kind = g.pick("0", "5", "1", "5", "S", "7", "x", "g", "L", "Z")[0]
			e.link = g.pick("a", "b", "a/b", "../a")
			if e.kind == '5' || e.kind == '1' {
				e.content = ""
			}
		}
		if g.IntN(5) == 0 {
			e.magic = g.pick(gnu, zeroMagic, "ustar\x0011", "ustar  1")
		}
		if g.IntN(8) == 0 {
			e.size = g.pick("00000000000\x00", "00000001000\x00", " 1000 \x00", "1000", binarySize(512), binarySize(9<<30), "-1\x00", "8\x00")
		}
		if g.IntN(12) == 0 {
			e.prefix = g.pick("p", "..", "p/q", "\x00x")
		}
		e.oldKind = g.IntN(10) == 0
		all = append(all, e.bytes()...)
	}
	all = append(all, make([]byte, blockSize*g.IntN(4))...)
	if g.IntN(12) == 0 {
		all = append(all, rawEntry{name: "behind"}.bytes()...)
	}
	if g.IntN(12) == 0 {
		all = all[:g.IntN(len(all))]
	}
	return all
}

func (g generator) extended() []byte {
	switch g.IntN(3) {
	case 0:
		return gnuName(g.pick("L", "K")[0], g.name()).bytes()
	case 1:
		return pax('g', g.pick("comment", "path", "mtime"), "1").bytes()
	}
	key := g.pick("path", "linkpath", "size", "mtime", "GNU.sparse.name", "path", "comment")
	return pax('x', key, g.pick("a", "c/d", "7", "512", "x y", "../z")).bytes()
}

// TestWhatIsTakenIsReadAlikeByAll generates archives. What Scan takes has to be
// what archive/tar unpacks, and, of some of them, what GNU tar and bsdtar do.
func TestWhatIsTakenIsReadAlikeByAll(t *testing.T) {
	rounds, unpacked := 10_000, 100
	if testing.Short() {
		rounds, unpacked = 1000, 30
	}
	g := generator{rand.New(rand.NewPCG(3, 4))}
	taken := 0
	for range rounds {
		archive := g.archive()
		got, err := ours(archive)
		if err != nil {
			continue
		}
		taken++
		want, err := naive(archive)
		if errors.Is(err, errLater) {
			continue
		}
		if err != nil {
			t.Fatalf("taken, and refused by archive/tar (%v):\n%q", err, archive)
		}
		if delete(want, "."); !same(got, want) {
			t.Fatalf("got %.300q, want %.300q of\n%q", got, want, archive)
		}
		if taken <= unpacked {
			compareWithTars(t, archive, got)
		}
	}
	t.Logf("%d of %d archives were taken", taken, rounds)
	if taken < rounds/20 || taken > rounds*19/20 {
		t.Errorf("%d of %d archives were taken, which tests little", taken, rounds)
	}
}

func same(a, b map[string]string) bool {
	delete(a, ".")
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if a[name] != b[name] {
			return false
		}
	}
	return true
}

// compareWithTars unpacks an archive with the tar programs that are here.
func compareWithTars(t *testing.T, archive []byte, got map[string]string) {
	t.Helper()
	for _, program := range []string{"tar", "bsdtar"} {
		if _, err := exec.LookPath(program); err != nil {
			continue
		}
		dir := t.TempDir()
		cmd := exec.Command(program, "-x", "-f", "-", "-C", dir)
		cmd.Stdin = bytes.NewReader(archive)
		text, err := cmd.CombinedOutput()
		switch {
		case err != nil && bytes.Contains(text, []byte("nexpected EOF")), err != nil && bytes.Contains(text, []byte("Truncated")):
			continue // the padding of the last file is missing, see umoci
		case err != nil:
			t.Fatalf("taken, and refused by %s (%v: %s):\n%q", program, err, text, archive)
		}
		if want := onDisk(t, dir); !same(got, want) {
			t.Fatalf("%s: got %.300q, want %.300q of\n%q", program, got, want, archive)
		}
	}
}

func onDisk(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		name := strings.TrimPrefix(p, dir+"/")
		if found[name] = "folder"; !d.IsDir() {
			text, err := os.ReadFile(p)
			found[name] = "file " + string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// FuzzDiffer is the same with whatever the fuzzer makes of archives.
func FuzzDiffer(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(disputedArchives)) {
		f.Add(disputedArchives[name])
	}
	for _, c := range readable {
		f.Add(c.archive)
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		if bytes.HasPrefix(archive, gzipMagic) || bytes.HasPrefix(archive, zstdMagic) || bytes.Contains(archive, []byte(whiteoutPrefix)) {
			return
		}
		got, err := ours(archive)
		if err != nil {
			return
		}
		want, err := naive(archive)
		if err != nil {
			return // links and devices
		}
		if delete(want, "."); !same(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
