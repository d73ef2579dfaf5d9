package site

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/tree"
)

// secrets are files of each kind of content: a record, one that is a file of its
// own, and one in several chunks. They are larger packed than what the thief has.
func secrets() map[string]string {
	return map[string]string{"app.js": script(1, 50_000), "large.bin": noise(300_000, 1), "huge.bin": noise(9<<20, 2), "index.html": "<h1>secret</h1>"}
}

// forge is what a thief's version is once its table of contents is read: it names
// the contents of the victim, at the places of the thief's own layer.
func forge(w *world, l *Loader, victim *Site) *Site {
	own := w.load(l, "thief", "v1", map[string]string{"own.bin": noise(10<<20, 9)})
	return newSite(l.contents, "thief", record{Digest: own.Digest, RootDir: ".", Layers: own.layers}, victim.Tree)
}

// wantNothing asks for all that a site names in all ways, and must get none of it.
func wantNothing(t *testing.T, s *Site) {
	t.Helper()
	for name := range secrets() {
		n, _ := s.Tree.Walk(tree.Root, name, true)
		if s.Local(n) {
			t.Errorf("%s: it is here", name)
		}
		if err := s.Ready(t.Context(), n); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want an error that is none of absence", name, err)
		}
		for _, off := range []int64{0, s.Tree.Size(n) / 2, s.Tree.Size(n) - 5} {
			if got, err := s.ReadAt(t.Context(), n, make([]byte, 5), off); got != 0 || err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s at %d: got %d bytes, %v", name, off, got, err)
			}
			if p, ok := s.Piece(n, off, 5); ok {
				p.Release()
				t.Errorf("%s at %d: got an open file", name, off)
			}
		}
		if x := s.Explain(name); x.Local != 0 {
			t.Errorf("%s: %d chunks are said to be here", name, x.Local)
		}
		if c, settled := s.Companion(tree.Root, name+".gz"); c != nil || settled && name == "app.js" {
			t.Errorf("%s.gz: got %v, settled %v", name, c, settled)
		}
	}
	if got := s.Missing(); got < 9<<20 {
		t.Errorf("%d bytes are said to be missing", got)
	}
}

// TestADigestIsNoKey: all of the victim's contents are in the store, and the thief
// names them.
func TestADigestIsNoKey(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	l, end := w.open(dir)
	victim := w.load(l, "victim", "v1", secrets())
	thief := forge(w, l, victim)
	wantNothing(t, thief) // before anybody has read them
	for name, want := range secrets() {
		wantRead(t, victim, name, want)
	}
	first := companion(t, victim, "app.js.gz")
	wantNothing(t, thief)
	if err := thief.Complete(t.Context()); err == nil {
		t.Error("all of the forged version is said to be here")
	}
	wantNothing(t, thief)

	// What failed for the thief is the thief's.
	w.SetDown(true)
	for name, want := range secrets() {
		wantRead(t, victim, name, want)
	}
	if c, _ := victim.Companion(tree.Root, "app.js.gz"); c == nil || c.Digest != first.Digest {
		t.Errorf("the victim's companion: got %v", c)
	}
	if got := l.store.Stats().Damaged; got != 0 || victim.Missing() != 0 {
		t.Errorf("%d contents are damaged, %d bytes of the victim's missing", got, victim.Missing())
	}
	w.SetDown(false)

	digest := victim.Digest
	end() // and again by another process
	l, _ = w.open(dir)
	kept, err := l.Kept("victim", digest)
	if err != nil {
		t.Fatal(err)
	}
	wantNothing(t, forge(w, l, kept))
	w.SetDown(true)
	for name, want := range secrets() {
		wantRead(t, kept, name, want)
	}
}

// TestATwinFetchesItsOwn: an honest repository has the same files. They come from
// its own layer, once, and are on the disk once.
func TestATwinFetchesItsOwn(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	l, end := w.open(dir)
	first := w.load(l, "victim", "v1", secrets())
	if err := first.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := l.store.Stats()
	twin := w.load(l, "twin", "v1", secrets())
	_, bytes := w.Since(func() {
		for name, want := range secrets() {
			wantRead(t, twin, name, want)
		}
	})
	if bytes < 9<<20 || bytes > 10<<20 {
		t.Errorf("the twin took %d bytes of blobs, want its own once", bytes)
	}
	after := l.store.Stats()
	if after.Files != before.Files || after.Bytes-before.Bytes > 100_000 || twin.Missing() != 0 {
		t.Errorf("the store has %+v, before the twin %+v; %d bytes are missing", after, before, twin.Missing())
	}
	next := w.load(l, "twin", "v2", secrets())
	requests, _ := w.Since(func() {
		for name, want := range secrets() {
			wantRead(t, next, name, want)
		}
	})
	if len(requests) != 0 {
		t.Errorf("another version with the same files: got %q, want no request", requests)
	}
	digest := twin.Digest
	end()
	w.SetDown(true)
	l, _ = w.open(dir)
	kept, err := l.Kept("twin", digest)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range secrets() {
		wantRead(t, kept, name, want)
	}
}

// TestAnotherRegistryIsAnotherRepository: two mounts may share a store, and who
// can make a repository of any name in one registry has nothing of the other.
func TestAnotherRegistryIsAnotherRepository(t *testing.T) {
	one, other := newWorld(t), newWorld(t)
	dir := t.TempDir()
	l, end := one.open(dir)
	s := one.load(l, "my-app", "v1", secrets())
	if err := s.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	end()
	l, _ = other.open(dir)
	if got := other.load(l, "my-app", "v1", secrets()).Missing(); got < 9<<20 {
		t.Errorf("%d bytes are missing, want all", got)
	}
}

// TestAForgedWishKeepsNobodyWaiting: a thief who asks for companions of the
// victim's files all the time keeps none from the victim.
func TestAForgedWishKeepsNobodyWaiting(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open(t.TempDir())
	victim := w.load(l, "victim", "v1", secrets())
	thief := forge(w, l, victim)
	thief.Companion(tree.Root, "app.js.gz") // is asked for first
	mustRead(t, victim, "app.js")
	victim.Companion(tree.Root, "app.js.gz")
	if got := l.CompanionStats().Waiting; got != 2 {
		t.Errorf("%d wait to be made, want one for each", got)
	}
	companion(t, victim, "app.js.gz")
}

// TestAFileThatNamesAnotherIsAnother: the words that name a content in several
// chunks can be a file.
func TestAFileThatNamesAnotherIsAnother(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open(t.TempDir())
	s := w.load(l, "victim", "v1", secrets())
	n, _ := s.Tree.Walk(tree.Root, "huge.bin", true)
	if _, count := s.Tree.Chunks(n); count < 2 {
		t.Fatalf("the file has %d chunks", count)
	}
	var chunks []tree.Chunk
	first, count := s.Tree.Chunks(n)
	for i := range uint32(count) {
		chunks = append(chunks, s.Tree.Chunk(first+i))
	}
	if s.contentID(n) == tree.ContentID(chunks) {
		t.Error("they have one name")
	}
}

// TestContentsOfSitesAreReadFromShelves: nobody in this package asks the store for
// contents by their digests, but for companions, which are given to who has proved
// the file.
func TestContentsOfSitesAreReadFromShelves(t *testing.T) {
	asks := regexp.MustCompile(`store\.(Has|Kept|ReadAt|Bytes|Descriptor|Put|PutVerified|Batch)\(`)
	names, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range names {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range asks.FindAllString(string(text), -1) {
			if found++; !strings.HasPrefix(e.Name(), "companion") {
				t.Errorf("%s calls %s)", e.Name(), call)
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d calls were found", found)
	}
}

// TestAFullDiskServesTwins: nothing is kept, neither contents nor whose they are.
func TestAFullDiskServesTwins(t *testing.T) {
	w := newWorld(t)
	store, err := cache.Open(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	l := NewLoader(ctx, Options{Registry: w.Client, Store: store})
	defer func() {
		stop()
		l.Wait()
		store.Close()
	}()
	victim := w.load(l, "victim", "v1", secrets())
	twin := w.load(l, "twin", "v1", secrets())
	thief := forge(w, l, victim)
	for name, want := range secrets() {
		wantRead(t, victim, name, want)
		wantRead(t, twin, name, want)
	}
	wantNothing(t, thief)
}

// TestNamesAreOfOneRepository: a repository that has the manifest of another need
// not have its layers, whose names and digests would be seen.
func TestNamesAreOfOneRepository(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open(t.TempDir())
	s := w.load(l, "victim", "v1", secrets())
	eventually(t, "its tree is kept", s.IsKept)
	if _, err := l.Kept("victim", s.Digest); err != nil {
		t.Error(err)
	}
	if _, err := l.Kept("other", s.Digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("for a repository that was not asked for it: got %v", err)
	}
	requests, _ := w.Since(func() { w.load(l, "other", "v1", secrets()) })
	if !slices.ContainsFunc(requests, func(r string) bool { return strings.HasPrefix(r, "GET /v2/other/blobs/") }) {
		t.Errorf("the same manifest in another repository: got %q, want its own layer read", requests)
	}
}

// TestKeysAreOfContentsAndMarks: who keeps the ones from eviction keeps the others.
func TestKeysAreOfContentsAndMarks(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open(t.TempDir())
	s := w.load(l, "my-app", "v1", secrets())
	keys := map[cache.Key]bool{}
	for k := range s.Keys {
		keys[k] = true
	}
	for i := range uint32(s.Tree.Members()) {
		m := s.Tree.Member(i)
		for c := m.First; c < m.First+m.Count; c++ {
			k := s.Tree.Chunk(c).Digest
			if mark := l.shelf("my-app").Mark(k); !keys[k] || !keys[mark] {
				t.Errorf("chunk %x: its key is there: %v, its mark's: %v", k[:8], keys[k], keys[mark])
			}
		}
	}
	if len(keys) < 2*len(secrets()) {
		t.Errorf("only %d keys", len(keys))
	}
}
