package tree

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// memory is content by digest.
type memory struct {
	tree  *Tree
	bytes map[Digest]string
}

func (m memory) ReadAt(n Node, p []byte, off int64) (int, error) {
	first, count := m.tree.Chunks(n)
	var all strings.Builder
	for i := first; i < first+uint32(count); i++ {
		all.WriteString(m.bytes[m.tree.Chunk(i).Digest])
	}
	return strings.NewReader(all.String()).ReadAt(p, off)
}

// build makes a tree of "path", "content" pairs, "folder/" and "link -> target".
func build(t testing.TB, root string, specs ...string) (*Tree, []Dropped, memory) {
	t.Helper()
	b := NewBuilder()
	m := memory{bytes: map[Digest]string{}}
	blob := b.AddMember(0, 0, 1<<40)
	var inner int64
	for i := 0; i < len(specs); i++ {
		if err := addSpec(b, m, blob, &inner, specs, &i); err != nil {
			t.Fatal(err)
		}
	}
	tr, dropped, err := b.Freeze(root)
	if err != nil {
		t.Fatal(err)
	}
	m.tree = tr
	return tr, dropped, m
}

func addSpec(b *Builder, m memory, blob uint32, inner *int64, specs []string, i *int) error {
	spec := specs[*i]
	if link, target, ok := strings.Cut(spec, " -> "); ok {
		return b.Symlink(link, target)
	}
	if dir, ok := strings.CutSuffix(spec, "/"); ok {
		return b.Mkdir(dir)
	}
	*i++
	var chunks []Chunk
	for off := 0; off < len(specs[*i]); off += 4 { // tiny chunks, so that files have several
		piece := specs[*i][off:min(off+4, len(specs[*i]))]
		d := sha256.Sum256([]byte(piece))
		m.bytes[d] = piece
		chunks = append(chunks, Chunk{Digest: d, Size: int64(len(piece)), Offset: int64(off), Member: blob, Inner: *inner})
		*inner += int64(len(piece))
	}
	return b.Create(spec, chunks)
}

func TestTreeIsAFileSystem(t *testing.T) {
	tr, _, m := build(t, ".", "index.html", "hello, world", "css/main.css", "body{}", "empty", "", "deep/er/x", "1",
		"css/link -> ../index.html", "dir -> deep/er", "hollow/")
	if err := fstest.TestFS(tr.FS(m), "index.html", "css/main.css", "empty", "deep/er/x", "css/link", "dir", "hollow"); err != nil {
		t.Error(err)
	}
	got, err := fs.ReadFile(tr.FS(m), "dir/x")
	if string(got) != "1" || err != nil {
		t.Errorf("dir/x: got %q, %v; want %q", got, err, "1")
	}
}

func TestLoadGivesTheSameTree(t *testing.T) {
	tr, _, _ := build(t, ".", "a", "1", "b/c", "22222222", "l -> b/c")
	again, err := Load(bytes.Clone(tr.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for n := range tr.All {
		if tr.Path(n) != again.Path(n) || tr.ID(n) != again.ID(n) || tr.Size(n) != again.Size(n) {
			t.Errorf("node %d: got %q, want %q", n, again.Path(n), tr.Path(n))
		}
	}
}

func TestRootDirIsStripped(t *testing.T) {
	tr, dropped, _ := build(t, "app", "app/index.html", "x", "app/in -> /app/index.html", "app/out -> ../etc/passwd",
		"app/back -> ../app/index.html", "etc/passwd", "secret")
	for name, want := range map[string]bool{"index.html": true, "in": true, "back": true, "out": false, "etc": false, "app": false} {
		if _, got := tr.Lookup(Root, name); got != want {
			t.Errorf("lookup of %q: got %v, want %v", name, got, want)
		}
	}
	if len(dropped) != 1 || dropped[0] != (Dropped{"out", "../etc/passwd"}) {
		t.Errorf("got dropped links %v, want only out", dropped)
	}
	if _, _, err := NewBuilder().Freeze("app"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a root that is not there: got %v, want not exist", err)
	}
}

func TestLinksNeverLeadOut(t *testing.T) {
	tr, dropped, _ := build(t, ".", "f", "x", "a/b/c", "y",
		"abs -> /f", "up -> ../f", "up2 -> a/../../f", "self -> self", "x -> y", "y -> x", "none -> nothing",
		"a/root -> ..", "trick -> a/root/../f", "ok -> a/root/f", "through -> f/f", "passwd -> /etc/passwd",
		"top -> /", "dot -> .")
	want := map[string]string{"abs": "f", "ok": "f", "a/root": "..", "top": ".", "dot": "."}
	for n := range tr.All {
		if tr.Kind(n) != Symlink {
			continue
		}
		if tr.Target(n) != want[tr.Path(n)] {
			t.Errorf("%s: got link to %q, want %q", tr.Path(n), tr.Target(n), want[tr.Path(n)])
		}
		delete(want, tr.Path(n))
	}
	if len(want) > 0 || len(dropped) != 9 {
		t.Errorf("links that are missing: %q; dropped: %q, want 9", want, dropped)
	}
}

// TestLinksLeadWhereTheKernelSays compares random trees of links with what
// openat2(RESOLVE_IN_ROOT) finds in a real folder. What leaves the root there
// is turned back by the kernel, here it must be gone.
func TestLinksLeadWhereTheKernelSays(t *testing.T) {
	rounds := 10_000
	if testing.Short() {
		rounds = 300
	}
	rng := rand.New(rand.NewPCG(1, 2))
	above := memoryDir(t)
	for round := range rounds {
		specs := randomTree(rng)
		dir := filepath.Join(above, fmt.Sprint(round))
		unpack(t, dir, specs)
		tr, dropped, _ := build(t, ".", specs...)
		for _, d := range dropped {
			checkDropped(t, round, dir, d, specs)
		}
		root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for n := range tr.All {
			if tr.Kind(n) == Symlink {
				compareLink(t, round, root, dir, tr, n)
			}
		}
		unix.Close(root)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// memoryDir is a folder in memory, where there is one: on a disk, making and
// removing ten thousand trees takes minutes.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "regfs")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// checkDropped wants a link that was left out to lead out of dir, or nowhere,
// when links to absolute paths lead into dir.
func checkDropped(t *testing.T, round int, dir string, d Dropped, specs []string) {
	t.Helper()
	for _, spec := range specs {
		link, target, ok := strings.Cut(spec, " -> ")
		if !ok || !strings.HasPrefix(target, "/") {
			continue
		}
		link = filepath.Join(dir, link)
		if err := errors.Join(os.Remove(link), os.Symlink(dir+target, link)); err != nil {
			t.Fatal(err)
		}
	}
	to, err := filepath.EvalSymlinks(filepath.Join(dir, d.Path))
	if err == nil && (to == dir || strings.HasPrefix(to, dir+"/")) {
		t.Errorf("round %d: %s -> %s was left out, and leads to %s", round, d.Path, d.Target, to)
	}
	for _, spec := range specs {
		if link, target, ok := strings.Cut(spec, " -> "); ok {
			link = filepath.Join(dir, link)
			if err := errors.Join(os.Remove(link), os.Symlink(target, link)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func compareLink(t *testing.T, round, root int, dir string, tr *Tree, n Node) {
	t.Helper()
	fd, err := unix.Openat2(root, tr.Path(n), &unix.OpenHow{Flags: unix.O_PATH, Resolve: unix.RESOLVE_IN_ROOT})
	for errors.Is(err, unix.EAGAIN) { // somebody on this machine renames or mounts something
		fd, err = unix.Openat2(root, tr.Path(n), &unix.OpenHow{Flags: unix.O_PATH, Resolve: unix.RESOLVE_IN_ROOT})
	}
	if err != nil {
		t.Errorf("round %d: %s -> %s: the kernel says %v", round, tr.Path(n), tr.Target(n), err)
		return
	}
	defer unix.Close(fd)
	got, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		t.Fatal(err)
	}
	to, ok := tr.Walk(Root, tr.Path(n), true)
	if want := filepath.Join(dir, tr.Path(to)); !ok || got != want {
		t.Errorf("round %d: %s leads to %q, in the kernel to %q", round, tr.Path(n), want, got)
	}
	if lexical := path.Join(path.Dir(tr.Path(n)), tr.Target(n)); strings.HasPrefix(lexical, "..") {
		t.Errorf("round %d: %s -> %s leads out", round, tr.Path(n), tr.Target(n))
	}
}

func randomTree(rng *rand.Rand) []string {
	dirs := []string{"", "a/", "b/", "a/c/", "a/c/d/"}
	specs := []string{"a/", "b/", "a/c/", "a/c/d/", "f", "1", "a/f", "2", "a/c/f", "3"}
	parts := []string{"..", "a", "b", "c", "d", "f", "l0", "l1", "l2", "l3", "."}
	for i := range 4 {
		target := ""
		if rng.IntN(4) == 0 {
			target = "/"
		}
		for j := range 1 + rng.IntN(4) {
			if j > 0 {
				target += "/"
			}
			target += parts[rng.IntN(len(parts))]
		}
		specs = append(specs, fmt.Sprintf("%sl%d -> %s", dirs[rng.IntN(len(dirs))], i, target))
	}
	return specs
}

func unpack(t *testing.T, dir string, specs []string) {
	t.Helper()
	for i := 0; i < len(specs); i++ {
		var err error
		if link, target, ok := strings.Cut(specs[i], " -> "); ok {
			err = os.Symlink(target, filepath.Join(dir, link))
		} else if strings.HasSuffix(specs[i], "/") {
			err = os.MkdirAll(filepath.Join(dir, specs[i]), 0o755)
		} else {
			err = os.WriteFile(filepath.Join(dir, specs[i]), []byte(specs[i+1]), 0o644)
			i++
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestBuilderRefusesWhatNobodyCouldOpen(t *testing.T) {
	long := strings.Repeat("n", 256)
	deep := strings.Repeat("d/", MaxDepth) + "f"
	for _, p := range []string{"", "/a", "a//b", "../a", "a/..", "a/./b", "nul\x00", long, deep, strings.Repeat("p/", 2100) + "x"} {
		b := NewBuilder()
		if b.Create(p, nil) == nil {
			t.Errorf("file %.40q was taken", p)
		}
		if b.Mkdir(p) == nil {
			t.Errorf("folder %.40q was taken", p)
		}
	}
	b := NewBuilder()
	if err := b.Create("\xff\n<b>\\\u202e", nil); err != nil {
		t.Errorf("a strange but legal name: %v", err)
	}
}

func TestLaterEntriesReplace(t *testing.T) {
	b := NewBuilder()
	m := b.AddMember(0, 0, 10)
	for _, layer := range [][]func() error{
		{
			func() error { return b.Mkdir("d/e") }, func() error { return b.Create("f", nil) },
			func() error { return b.Create("h", []Chunk{{Size: 1, Member: m}}) }, func() error { return b.Link("i", "h") },
			func() error { return b.Symlink("s", "h") },
		},
		{
			func() error { return b.Create("d/e", nil) }, func() error { return b.Create("f/g", nil) },
			func() error { return b.Create("s", nil) }, func() error { return b.Create("s", nil) },
		},
	} {
		b.BeginLayer()
		for _, put := range layer {
			if err := put(); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.Remove("d")
	b.Remove("nothing/at/all")
	if !errors.Is(b.Link("j", "nothing"), fs.ErrNotExist) {
		t.Error("a hard link to nothing was taken")
	}
	tr, _, err := b.Freeze(".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for n := range tr.All {
		got = append(got, fmt.Sprint(tr.Path(n), " ", tr.Kind(n)))
	}
	if want := "[f folder h file i file s file f/g file]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if b.count != tr.Len() {
		t.Errorf("builder counts %d nodes, the tree has %d", b.count, tr.Len())
	}
}

// TestNothingIsTwoThingsInOneLayer: readers of archives disagree on which of
// them is there in the end.
func TestNothingIsTwoThingsInOneLayer(t *testing.T) {
	file := func(p string) func(*Builder) error { return func(b *Builder) error { return b.Create(p, nil) } }
	dir := func(p string) func(*Builder) error { return func(b *Builder) error { return b.Mkdir(p) } }
	link := func(p string) func(*Builder) error { return func(b *Builder) error { return b.Symlink(p, "x") } }
	hard := func(p, to string) func(*Builder) error { return func(b *Builder) error { return b.Link(p, to) } }
	for name, c := range map[string]struct {
		lower, upper []func(*Builder) error
	}{
		"file, then folder":              {upper: []func(*Builder) error{file("a"), dir("a")}},
		"folder, then file":              {upper: []func(*Builder) error{dir("a"), file("a")}},
		"file, then something in it":     {upper: []func(*Builder) error{file("a"), file("a/b")}},
		"something in it, then file":     {upper: []func(*Builder) error{file("a/b"), file("a")}},
		"link, then folder":              {upper: []func(*Builder) error{link("a"), dir("a")}},
		"folder of before, then file":    {[]func(*Builder) error{dir("a")}, []func(*Builder) error{file("a/b"), file("a")}},
		"folder said again, then file":   {[]func(*Builder) error{dir("a")}, []func(*Builder) error{dir("a"), file("a")}},
		"file, then hard link to a link": {upper: []func(*Builder) error{file("a"), link("l"), hard("a", "l")}},
		"hard link to itself":            {[]func(*Builder) error{file("a")}, []func(*Builder) error{hard("a", "a")}},
	} {
		b := NewBuilder()
		var err error
		for _, layer := range [][]func(*Builder) error{c.lower, c.upper} {
			b.BeginLayer()
			for _, put := range layer {
				if err = put(b); err != nil {
					break
				}
			}
		}
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestEntriesGoThroughLinkedFolders: as in a root of their own, which a link
// that leads out leads back to.
func TestEntriesGoThroughLinkedFolders(t *testing.T) {
	tr, _, _ := build(t, ".", "usr/bin/sh", "x", "bin -> usr/bin", "bin/ls", "y", "out -> ../..", "out/f", "z",
		"var/run -> /run", "var/run/app/pid", "1", "in/turn -> a/b", "in/turn/c/d", "2")
	for path, want := range map[string]bool{
		"usr/bin/ls": true, "bin/sh": true, "f": true, "out/f": false,
		"run/app/pid": true, "var/run/app/pid": true, "in/a/b/c/d": true, "in/turn/c/d": true,
	} {
		if _, got := tr.Walk(Root, path, true); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	bin, _ := tr.Lookup(Root, "bin")
	if tr.Kind(bin) != Symlink {
		t.Error("the link to a folder was replaced")
	}
}

// TestLinksMakeNoPathsLonger: entries that go through links to deep folders
// cannot make ever deeper ones.
func TestLinksMakeNoPathsLonger(t *testing.T) {
	b := NewBuilder()
	deep := strings.TrimSuffix(strings.Repeat("d/", MaxDepth-2), "/")
	err := errors.Join(b.Mkdir(deep), b.Symlink("l", deep), b.Create("l/f", nil))
	if err != nil {
		t.Fatal(err)
	}
	if b.Create("l/d/d/f", nil) == nil {
		t.Error("a file in a folder that is too deep was taken")
	}
	loop := errors.Join(b.Symlink("x", "y"), b.Symlink("y", "x"))
	if loop != nil || b.Create("x/f", nil) == nil {
		t.Errorf("a file behind a circle of links was taken, or: %v", loop)
	}
}

func TestChunksLieInTheirMembers(t *testing.T) {
	b := NewBuilder()
	second, first := b.AddMember(0, 100, 50), b.AddMember(0, 0, 100)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.Create("z", []Chunk{{Size: 3, Member: first, Inner: 0}, {Size: 4, Offset: 3, Member: second, Inner: 0}}))
	must(b.Create("a", []Chunk{{Size: 9, Member: second, Inner: 512}}))
	tr, _, err := b.Freeze(".")
	must(err)
	z, _ := tr.Lookup(Root, "z")
	if got := tr.Chunk(tr.ChunkAt(z, 3)); got.Offset != 3 || tr.Member(got.Member).Offset != 100 {
		t.Errorf("chunk at 3: got %+v", got)
	}
	if m := tr.Member(1); m.Count != 2 || tr.Chunk(m.First+1).Size != 9 {
		t.Errorf("second member: got %+v, want two chunks, the last of a", m)
	}
	b = NewBuilder()
	second = b.AddMember(0, 100, 50)
	must(b.Create("a", []Chunk{{Size: 9, Member: second, Inner: 512}}))
	must(b.Create("overlap", []Chunk{{Size: 9, Member: second, Inner: 515}}))
	if _, _, err := b.Freeze("."); err == nil {
		t.Error("chunks of two files that overlap were taken")
	}
}

func TestModTimeFollowsFromTheContentAndIsPast(t *testing.T) {
	for range 1000 {
		if got := ModTime(rand.Uint64()); got < 1_000_000_000 || got > 1_536_870_912 {
			t.Fatalf("got %d", got)
		}
	}
	x, _, _ := build(t, ".", "a", "same", "b", "same", "c", "other")
	id := func(name string) uint64 { n, _ := x.Lookup(Root, name); return x.ID(n) }
	if id("a") != id("b") || id("a") == id("c") {
		t.Error("IDs do not follow from the content")
	}
}

func FuzzLoad(f *testing.F) {
	tr, _, _ := build(f, ".", "a", "1", "b/c", "22222222", "l -> b/c", "b/up -> ../a")
	f.Add(tr.Bytes())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := Load(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("got %v, want a format error", err)
			}
			return
		}
		exercise(tr)
	})
}

// exercise calls all that could go astray in a damaged tree.
func exercise(tr *Tree) {
	for n := range tr.All {
		tr.Path(n)
		tr.Walk(Root, tr.Path(n), true)
		if tr.Kind(n) == File && tr.Size(n) > 0 {
			c := tr.Chunk(tr.ChunkAt(n, tr.Size(n)-1))
			tr.Member(c.Member)
		}
	}
}

func TestLoadFindsDamage(t *testing.T) {
	tr, _, _ := build(t, ".", "a", "1", "b/c", "22222222", "l -> b/c", "b/up -> ../a")
	for i := range tr.Bytes() {
		for _, bit := range []byte{1, 0x80} {
			damaged := bytes.Clone(tr.Bytes())
			damaged[i] ^= bit
			if got, err := Load(damaged); err == nil {
				exercise(got)
			}
		}
		if _, err := Load(tr.Bytes()[:i]); err == nil {
			t.Errorf("the first %d bytes were taken for a tree", i)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	var specs []string
	for i := range 2000 {
		specs = append(specs, fmt.Sprintf("dir/file-%04d.html", i), "x")
	}
	tr, _, _ := build(b, ".", specs...)
	dir, _ := tr.Lookup(Root, "dir")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := tr.Lookup(dir, "file-1234.html"); !ok {
			b.Fatal("not found")
		}
	}
}

var _ io.ReaderAt = readerAt{}
