package compare

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regfs/regfs/internal/tree"
)

// memberSize is the compressed size of each member of the trees below, which
// hold one file each.
const memberSize = 7

// build makes a tree of files by path; a content "-> x" is a link to x.
func build(t testing.TB, files map[string]string) *tree.Tree {
	t.Helper()
	b := tree.NewBuilder()
	for i, path := range slices.Sorted(maps.Keys(files)) {
		content := files[path]
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			must(t, b.Symlink(path, target))
			continue
		}
		var chunks []tree.Chunk
		if content != "" {
			m := b.AddMember(0, int64(i)*memberSize, memberSize)
			chunks = []tree.Chunk{{Digest: sha256.Sum256([]byte(content)), Size: int64(len(content)), Member: m}}
		}
		must(t, b.Create(path, chunks))
	}
	frozen, dropped, err := b.Freeze(".")
	must(t, err)
	if len(dropped) > 0 {
		t.Fatalf("links left out: %v", dropped)
	}
	return frozen
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTreesTellsWhatCameWentAndChanged(t *testing.T) {
	from := build(t, map[string]string{
		"index.html": "one", "css/site.css": "same", "css/old.css": "12345", "empty": "", "img": "a file",
		"latest": "-> index.html", "moved/here.txt": "contents",
	})
	to := build(t, map[string]string{
		"index.html": "twoo", "css/site.css": "same", "css.html": "x", "empty": "", "img/a.svg": "svg!",
		"latest": "-> css.html", "there.txt": "contents",
	})
	want := Result{
		Changes: []Change{
			{Removed, "css/old.css", 5, 0},
			{Added, "css.html", 0, 1},
			{Removed, "img", 6, 0},
			{Added, "img/a.svg", 0, 4},
			{Changed, "index.html", 3, 4},
			{Changed, "latest", 0, 0},
			{Removed, "moved/here.txt", 8, 0},
			{Added, "there.txt", 0, 8},
		},
		Totals: Totals{
			Added: Count{3, 13}, Removed: Count{3, 19}, Changed: Count{2, 4}, Was: 3, Same: Count{2, 4},
			Visitor:  Count{5, 17},
			Transfer: 3 * memberSize, // of css.html, img/a.svg and index.html: there.txt is known under another name
		},
	}
	if diff := cmp.Diff(want, Trees(from, to, All)); diff != "" {
		t.Errorf("want (-) and got (+):\n%s", diff)
	}
}

func TestTheSameVersionDiffersInNothing(t *testing.T) {
	v := build(t, map[string]string{"a": "1", "b/c": "22", "l": "-> a"})
	want := Result{Changes: []Change{}, Totals: Totals{Same: Count{3, 3}}}
	if diff := cmp.Diff(want, Trees(v, v, All)); diff != "" {
		t.Errorf("want (-) and got (+):\n%s", diff)
	}
}

func TestTotalsAreExactBeyondTheLimit(t *testing.T) {
	files := map[string]string{}
	for i := range 100 {
		files[fmt.Sprintf("f%03d", i)] = "x"
	}
	got := Trees(build(t, nil), build(t, files), 10)
	if len(got.Changes) != 10 || got.Omitted != 90 || got.Totals.Added != (Count{100, 100}) {
		t.Errorf("got %d changes, %d omitted, %v added, want 10, 90, 100 files of 100 bytes", len(got.Changes), got.Omitted, got.Totals.Added)
	}
	if last := got.Changes[9].Path; last != "f009" {
		t.Errorf("the last that is listed: got %q, want f009", last)
	}
}

// TestOtherChunksAreAnotherContent: a file that was cut otherwise cannot be told
// to be equal without reading it.
func TestOtherChunksAreAnotherContent(t *testing.T) {
	cut := func(sizes ...int64) *tree.Tree {
		b := tree.NewBuilder()
		m := b.AddMember(0, 0, 100)
		var chunks []tree.Chunk
		var off int64
		for _, n := range sizes {
			chunks = append(chunks, tree.Chunk{Digest: sha256.Sum256([]byte{byte(off), byte(n)}), Size: n, Offset: off, Inner: off, Member: m})
			off += n
		}
		must(t, b.Create("f", chunks))
		frozen, _, err := b.Freeze(".")
		must(t, err)
		return frozen
	}
	got := Trees(cut(4, 4), cut(8), All).Totals
	if got.Changed != (Count{1, 8}) || got.Same.Files != 0 {
		t.Errorf("got %+v, want one changed file of 8 bytes", got)
	}
	if got := Trees(cut(4, 4), cut(4, 4), All).Totals; got.Same != (Count{1, 8}) {
		t.Errorf("equal chunks: got %+v, want the same file of 8 bytes", got)
	}
}

// TestTreesAgreesWithASimplerWay compares random trees by their lists of paths.
func TestTreesAgreesWithASimplerWay(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		a, b := randomFiles(random), randomFiles(random)
		got := Trees(build(t, a), build(t, b), All)
		found := map[string]Kind{}
		for _, c := range got.Changes {
			if found[c.Path] != "" {
				t.Fatalf("seed %d: %q is listed twice", seed, c.Path)
			}
			found[c.Path] = c.Kind
		}
		if want := simpler(a, b); !maps.Equal(found, want) {
			t.Fatalf("seed %d: %v to %v: got %v, want %v", seed, a, b, found, want)
		}
		if n, want := got.Totals.Same.Files+got.Totals.Added.Files+got.Totals.Changed.Files, len(b); n != want {
			t.Fatalf("seed %d: same, added and changed are %d files, want all %d of the second", seed, n, want)
		}
	}
}

func randomFiles(r *rand.Rand) map[string]string {
	files := map[string]string{}
	for range r.IntN(12) {
		path := string(rune('a' + r.IntN(3)))
		for range r.IntN(3) {
			path += "/" + string(rune('a'+r.IntN(3)))
		}
		if !nested(files, path) {
			files[path] = strings.Repeat("x", r.IntN(3))
		}
	}
	return files
}

// nested tells whether path is a file and a folder at once.
func nested(files map[string]string, path string) bool {
	for other := range files {
		if strings.HasPrefix(other, path+"/") || strings.HasPrefix(path, other+"/") {
			return true
		}
	}
	return false
}

func simpler(a, b map[string]string) map[string]Kind {
	changes := map[string]Kind{}
	for path, content := range a {
		if other, ok := b[path]; !ok {
			changes[path] = Removed
		} else if other != content {
			changes[path] = Changed
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			changes[path] = Added
		}
	}
	return changes
}

func BenchmarkTrees(b *testing.B) {
	files := map[string]string{}
	for i := range 20_000 {
		files[fmt.Sprintf("d%03d/f%05d.html", i/100, i)] = fmt.Sprint(i)
	}
	from := build(b, files)
	for i := range 200 {
		files[fmt.Sprintf("d%03d/f%05d.html", i, i*100)] = "changed"
	}
	to := build(b, files)
	b.ReportAllocs()
	for b.Loop() {
		Trees(from, to, 1000)
	}
}
