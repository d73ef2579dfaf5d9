package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func documentFile(dir, name string) string { return filepath.Join(dir, layout, docsDir, name) }

func save(t *testing.T, s *Store, name, data string) {
	t.Helper()
	if err := s.SaveDocument(name, []byte(data)); err != nil {
		t.Fatalf("save %s: %v", name, err)
	}
}

func wantDocument(t *testing.T, s *Store, name, want string) {
	t.Helper()
	got, err := s.LoadDocument(name)
	if err != nil || string(got) != want {
		t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
	}
}

func wantNoDocument(t *testing.T, s *Store, name string) {
	t.Helper()
	if got, err := s.LoadDocument(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: got %q, %v; want fs.ErrNotExist", name, got, err)
	}
}

func TestDocumentsAreKept(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	tree := "trees/sha256-" + strings.Repeat("ab", 32)
	wantNoDocument(t, s, tree)
	save(t, s, tree, "first")
	save(t, s, tree, "second")
	save(t, s, "trees/a", "")
	save(t, s, "namespace", "names")
	s = openQuiet(t, dir, plenty)
	wantDocument(t, s, tree, "second")
	wantDocument(t, s, "trees/a", "")
	wantDocument(t, s, "namespace", "names")
	got, err := s.Documents("trees")
	if want := []string{"trees/a", tree}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if got, err := s.Documents("nothing"); err != nil || len(got) != 0 {
		t.Errorf("got %q, %v; want none", got, err)
	}
}

func TestDocumentsCountAndStay(t *testing.T) {
	s := openQuiet(t, t.TempDir(), plenty)
	s.small = onlyFiles
	save(t, s, "trees/a", strings.Repeat("x", 3*blockSize))
	save(t, s, "trees/a", strings.Repeat("x", blockSize))
	if got, _ := s.usage.get(); got != 2*blockSize {
		t.Errorf("%d bytes counted, want %d", got, 2*blockSize)
	}
	put(t, s, 1, blockSize)
	s.limit = blockSize
	s.trim(t.Context())
	wantDocument(t, s, "trees/a", strings.Repeat("x", blockSize))
	if got := s.Stats(); got.Bytes != 2*blockSize || got.Files != 0 || got.Evicted != 1 {
		t.Errorf("got %+v, want the document alone", got)
	}
}

func TestEveryFlippedByteOfADocumentIsFound(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	save(t, s, "namespace", "some names")
	whole, err := os.ReadFile(documentFile(dir, "namespace"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		harm(t, documentFile(dir, "namespace"), flip(whole, i))
		wantNoDocument(t, s, "namespace")
		harm(t, documentFile(dir, "namespace"), whole[:i])
		wantNoDocument(t, s, "namespace")
	}
	harm(t, documentFile(dir, "namespace"), append(bytes.Clone(whole), 0))
	wantNoDocument(t, s, "namespace")
	if got, want := s.Stats().Damaged, int64(2*len(whole)+1); got != want {
		t.Errorf("damaged %d, want %d", got, want)
	}
}

func TestDocumentUnderAnotherNameIsDamage(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	save(t, s, "trees/a", "tree")
	if err := os.Rename(documentFile(dir, "trees/a"), documentFile(dir, "trees/b")); err != nil {
		t.Fatal(err)
	}
	wantNoDocument(t, s, "trees/b")
}

func TestDocumentNames(t *testing.T) {
	s := openQuiet(t, t.TempDir(), plenty)
	for _, name := range []string{"", ".", "..", "/", "a/", "/a", "a/b/c", "../a", "a/..", "a/../b", "A", "a b", "a\x00", "a\n", ".hidden", "trees/.x", "-a", "a/" + strings.Repeat("x", 129), "ü"} {
		if err := s.SaveDocument(name, nil); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("save %q: got %v, want fs.ErrInvalid", name, err)
		}
		if _, err := s.LoadDocument(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("load %q: got %v, want fs.ErrInvalid", name, err)
		}
	}
	if _, err := s.Documents("../v1"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("list: got %v, want fs.ErrInvalid", err)
	}
}

func TestTheOldestDocumentsMakeWay(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	s.maxDocuments = 50
	save(t, s, "trees/0", "used")
	for i := range s.maxDocuments + 9 {
		name := documentFile(dir, fmt.Sprintf("trees/t%d", i))
		harm(t, name, nil)
		then := time.Now().Add(-time.Hour * time.Duration(100-i))
		if err := os.Chtimes(name, then, then); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-200 * time.Hour)
	if err := os.Chtimes(documentFile(dir, "trees/0"), old, old); err != nil {
		t.Fatal(err)
	}
	wantDocument(t, s, "trees/0", "used") // which makes it young
	save(t, s, "trees/new", "new")
	got, err := s.Documents("trees")
	if err != nil || len(got) != s.maxDocuments {
		t.Errorf("got %d documents, %v; want %d", len(got), err, s.maxDocuments)
	}
	for name, want := range map[string]bool{"trees/0": true, "trees/new": true, "trees/t10": false, "trees/t11": true} {
		if is := slices.Contains(got, name); is != want {
			t.Errorf("%s there: %v, want %v", name, is, want)
		}
	}
}

func TestDocumentsTakeAPartOfTheCache(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, 40*blockSize)
	for i := range 6 {
		name := fmt.Sprintf("trees/%d", i)
		save(t, s, name, strings.Repeat("x", 2*blockSize))
		// The kernel's clock stands still for milliseconds: two documents may
		// get the same time.
		then := time.Now().Add(-time.Hour * time.Duration(100-i))
		if err := os.Chtimes(documentFile(dir, name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Documents("trees")
	if want := []string{"trees/3", "trees/4", "trees/5"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	save(t, s, "trees/9", strings.Repeat("x", 30*blockSize))
	got, err = s.Documents("trees")
	if want := []string{"trees/9"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func FuzzParseDocument(f *testing.F) {
	good := slices.Concat([]byte(documentMagic), documentSum("namespace", []byte("data")), []byte("data"))
	f.Add(good)
	f.Add(good[:documentHeader])
	f.Add(good[:len(documentMagic)])
	f.Add(slices.Concat([]byte(documentMagic), documentSum("namespace", nil)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		data, err := parseDocument("namespace", file)
		if err != nil {
			return
		}
		again := slices.Concat([]byte(documentMagic), documentSum("namespace", data), data)
		if !bytes.Equal(again, file) {
			t.Errorf("accepted %q as %q", file, data)
		}
	})
}

func FuzzParseName(f *testing.F) {
	_, k := bytesOf(1, 1)
	f.Add(path(k)[3:])
	f.Add(strings.ToUpper(path(k)[3:]))
	f.Add("")
	f.Fuzz(func(t *testing.T, name string) {
		if k, ok := parse(name); ok && path(k)[3:] != name {
			t.Errorf("%q is taken for %q", name, path(k)[3:])
		}
	})
}
