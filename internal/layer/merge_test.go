package layer

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regfs/regfs/internal/tree"
)

// merged is what layers leave when they are put over each other one name at a
// time, by the words of image-spec: a model that knows no tree.
func merged(layers [][]rawEntry) map[string]string {
	found := map[string]string{}
	remove := func(name string, self bool) {
		for other := range found {
			if strings.HasPrefix(other, name+"/") || name == "." || self && other == name {
				delete(found, other)
			}
		}
	}
	for _, entries := range layers {
		for _, e := range entries {
			switch dir, base := path.Split(path.Clean(e.name)); {
			case base == whiteoutOpaque:
				remove(path.Clean(dir), false)
			case strings.HasPrefix(base, whiteoutPrefix):
				remove(path.Join(dir, base[len(whiteoutPrefix):]), true)
			}
		}
		for _, e := range entries {
			name := path.Clean(e.name)
			if strings.HasPrefix(path.Base(name), whiteoutPrefix) {
				continue
			}
			for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
				found[dir] = "folder"
			}
			if e.kind == '5' {
				found[name] = "folder"
				continue
			}
			remove(name, true)
			found[name] = "file " + e.content
		}
	}
	return found
}

func mergedByUs(layers [][]rawEntry) (map[string]string, error) {
	b, k := tree.NewBuilder(), kept{}
	for i, entries := range layers {
		archive := raw(entries...)
		if err := Scan(b, i, int64(len(archive)), bytes.NewReader(archive), k.keep); err != nil {
			return nil, err
		}
	}
	tr, _, err := b.Freeze(".")
	if err != nil {
		return nil, err
	}
	return described(tr, k), nil
}

// layersOf reads layers out of bytes: each is an entry, by its name and kind, or
// the end of a layer.
func layersOf(data []byte) [][]rawEntry {
	names := []string{"a", "b", "a/b", "a/c", "a/b/c", "d/e", "a/.wh.b", ".wh.a", "a/.wh..wh..opq", ".wh..wh..opq", "a/b/.wh..wh..opq", ".wh.d", "a/.wh.c", "d"}
	layers := [][]rawEntry{nil}
	for i, c := range data {
		if c%16 == 15 {
			layers = append(layers, nil)
			continue
		}
		e := rawEntry{name: names[int(c%16)%len(names)]}
		if e.content = string(rune('A' + i%26)); c >= 128 && !strings.Contains(e.name, whiteoutPrefix) {
			e.kind, e.content = '5', ""
		}
		last := len(layers) - 1
		layers[last] = append(layers[last], e)
	}
	return layers
}

func checkMerge(t *testing.T, data []byte) (taken bool) {
	t.Helper()
	layers := layersOf(data)
	got, err := mergedByUs(layers)
	if err != nil {
		return false // two things in one layer
	}
	if want := merged(layers); !same(got, want) {
		t.Fatalf("%v: got %q, want %q", data, got, want)
	}
	return true
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte{0, 2 + 128, 3, 15, 6, 8, 15, 4})
	f.Add([]byte{0, 15, 2, 15, 7, 2, 15, 9, 5})
	f.Fuzz(func(t *testing.T, data []byte) { checkMerge(t, data[:min(len(data), 40)]) })
}

func TestLayersMergeAsTheSpecificationSays(t *testing.T) {
	rounds := 5000
	if testing.Short() {
		rounds = 300
	}
	rng := rand.New(rand.NewPCG(5, 6))
	taken := 0
	for range rounds {
		data := make([]byte, 4+rng.IntN(12))
		for i := range data {
			data[i] = byte(rng.UintN(256))
			if rng.IntN(4) == 0 {
				data[i] = 15
			}
		}
		if checkMerge(t, data) {
			taken++
		}
	}
	if taken < rounds/10 {
		t.Errorf("only %d of %d were layers", taken, rounds)
	}
}

// FuzzNames: whatever an archive calls its file, it is shown by a path that
// stays inside and that a kernel can look up, byte for byte, or refused.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"a", "./a//b", "/a", "..", "a/../b", "\xff\n\\", ".wh.a", "", ".", "a/", "\u202e", strings.Repeat("n", 256), "a\x00b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		b := tree.NewBuilder()
		all := begin(b, "")
		if all.add(tree.Entry{Path: name, Kind: tree.File}) != nil || all.end() != nil {
			return
		}
		tr, _, err := b.Freeze(".")
		if err != nil {
			t.Fatal(err)
		}
		for n := range tr.All {
			got := tr.Path(n)
			if strings.HasPrefix(got, "/") || filepath.Clean("/"+got) != "/"+got || strings.ContainsRune(got, 0) || len(tr.Name(n)) > tree.MaxName {
				t.Errorf("%q is shown as %q", name, got)
			}
			if tr.Kind(n) == tree.File && path.Clean("/"+name) != "/"+got {
				t.Errorf("%q is shown as %q", name, got)
			}
			if strings.HasPrefix(tr.Name(n), whiteoutPrefix) && tr.Kind(n) == tree.File {
				t.Errorf("%q is shown", name)
			}
		}
	})
}

// TestStrangeNamesCanBeOpened: what is taken is what a file system takes.
func TestStrangeNamesCanBeOpened(t *testing.T) {
	for _, name := range []string{"\xff\xfe", "a\nb", `back\slash`, "\u202eright", "<script>", "A", "a", "e\u0301", "\u00e9", strings.Repeat("n", 255)} {
		if _, err := cleanName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(t.TempDir(), name), nil, 0o600); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
