package site

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regfs/regfs/internal/tree"
)

// script is text of so many bytes that compresses as scripts do.
func script(seed uint64, size int) string {
	r := rand.New(rand.NewPCG(seed, 0))
	var b strings.Builder
	for b.Len() < size {
		fmt.Fprintf(&b, "function f%d(a) { return a.value%d + %d }\n", r.IntN(1000), r.IntN(50), r.IntN(1e6))
	}
	return b.String()[:size]
}

// companion waits for the companion of a file at the root of a site.
func companion(t testing.TB, s *Site, name string) *Companion {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, settled := s.Companion(tree.Root, name)
		if c != nil {
			return c
		}
		if settled || time.Now().After(end) {
			t.Fatalf("%s: no companion, settled %v", name, settled)
		}
	}
}

// settled waits until it is known that a name is none of a companion.
func settled(t testing.TB, s *Site, name string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, settled := s.Companion(tree.Root, name)
		if c != nil || time.Now().After(end) {
			t.Fatalf("%s: got companion %v, want that there is none", name, c)
		}
		if settled {
			return
		}
	}
}

// inflate reads a companion and gives what it holds.
func inflate(t testing.TB, c *Companion) string {
	t.Helper()
	data, err := io.ReadAll(io.NewSectionReader(companionReader{t, c}, 0, c.Size))
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(data) != c.Digest {
		t.Errorf("%s: got %d bytes that are not what its digest names", c.Name(), len(data))
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

type companionReader struct {
	t testing.TB
	c *Companion
}

func (r companionReader) ReadAt(p []byte, off int64) (int, error) {
	return r.c.ReadAt(r.t.Context(), p, off)
}

func mustRead(t testing.TB, s *Site, file string) string {
	t.Helper()
	text, err := read(s, file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestACompanionIsMadeOfWhatIsHere(t *testing.T) {
	w := newWorld(t)
	app := script(1, 40_000)
	large := strings.Repeat("of several chunks\n", 5<<20/18)
	w.Publish("my-app", "v1", map[string]string{"app.js": app, "large.txt": large})
	l, _ := w.open(t.TempDir())
	s := w.site(l, "my-app", "v1")
	requests, _ := w.Since(func() {
		if c, settled := s.Companion(tree.Root, "app.js.gz"); c != nil || settled {
			t.Errorf("before the file is here: got %v, settled %v; want not yet", c, settled)
		}
		time.Sleep(2 * wishDelay) // nothing is to happen: the wish is dropped
	})
	if len(requests) > 0 {
		t.Errorf("a companion made the daemon ask for %q", requests)
	}
	mustRead(t, s, "app.js")
	c := companion(t, s, "app.js.gz")
	if got := inflate(t, c); got != app {
		t.Errorf("got %d other bytes", len(got))
	}
	mustRead(t, s, "large.txt")
	if got := inflate(t, companion(t, s, "large.txt.gz")); got != large {
		t.Errorf("a file of several chunks: got %d other bytes than %d", len(got), len(large))
	}
	if !pays(c.Size, int64(len(app))) {
		t.Errorf("got %d bytes for %d", c.Size, len(app))
	}
}

func TestWhatIsCompressedHasNoCompanion(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{
		"data.bin": noise(300_000, 2), "small.txt": strings.Repeat("a", minPlain-1), "least.txt": strings.Repeat("a", minPlain),
		"IMAGE.PNG": script(1, 4000), "own.js": script(2, 4000), "own.js.gz": "its own", "folder/x.js": script(3, 4000),
	})
	l, _ := w.open(t.TempDir())
	s := w.site(l, "my-app", "v1")
	for _, name := range []string{"small.txt.gz", "IMAGE.PNG.gz", "own.js.gz.gz", "folder.gz", "missing.js.gz", ".gz", "missing.js", "least.txt.br"} {
		if c, settled := s.Companion(tree.Root, name); c != nil || !settled {
			t.Errorf("%s: got %v, settled %v; want none for ever, at once", name, c, settled)
		}
	}
	mustRead(t, s, "data.bin")
	mustRead(t, s, "least.txt")
	settled(t, s, "data.bin.gz")
	if c := companion(t, s, "least.txt.gz"); c.Size >= minPlain {
		t.Errorf("got %d bytes", c.Size)
	}
	eventually(t, "it is counted", func() bool { return l.CompanionStats() == CompanionStats{Made: 1, Useless: 1} })
}

func TestCompanionsAreSharedAndKept(t *testing.T) {
	w := newWorld(t)
	app, data := script(1, 200_000), noise(50_000, 1)
	w.Publish("my-app", "v1", map[string]string{"app.js": app, "noise": data})
	w.Publish("other", "v7", map[string]string{"renamed.mjs": app, "noise.dat": data, "more.html": script(9, 5000)})
	dir := t.TempDir()
	l, end := w.open(dir)
	s := w.site(l, "my-app", "v1")
	mustRead(t, s, "app.js")
	mustRead(t, s, "noise")
	first := companion(t, s, "app.js.gz")
	settled(t, s, "noise.gz")
	other := w.site(l, "other", "v7")
	for _, name := range []string{"renamed.mjs.gz", "noise.dat.gz"} {
		if c, settled := other.Companion(tree.Root, name); c != nil || settled {
			t.Errorf("the same content in another repository, not read there: got %v, settled %v", c, settled)
		}
	}
	mustRead(t, other, "renamed.mjs")
	mustRead(t, other, "noise.dat")
	second, _ := other.Companion(tree.Root, "renamed.mjs.gz")
	if second == nil || second.Digest != first.Digest || inflate(t, second) != app {
		t.Errorf("the same content in another repository: got %v, want %x at once", second, first.Digest)
	}
	if c, settled := other.Companion(tree.Root, "noise.dat.gz"); c != nil || !settled {
		t.Errorf("what does not pay, in another repository: got %v, settled %v", c, settled)
	}
	eventually(t, "the wishes are over", func() bool { return l.CompanionStats().Waiting == 0 })
	if got := l.CompanionStats(); got.Made != 1 || got.Useless != 1 {
		t.Errorf("got %+v, want that each is made once", got)
	}
	end() // and again, on the same store
	w.SetDown(true)
	l, _ = w.open(dir)
	s = w.kept(l, s)
	kept, _ := s.Companion(tree.Root, "app.js.gz")
	if kept == nil || kept.Digest != first.Digest || inflate(t, kept) != app {
		t.Errorf("after a restart: got %v, want %x at once", kept, first.Digest)
	}
	if c, settled := s.Companion(tree.Root, "noise.gz"); c != nil || !settled {
		t.Errorf("what does not pay, after a restart: got %v, settled %v", c, settled)
	}
}

func TestADamagedTableIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	app := script(1, 20_000)
	w.Publish("my-app", "v1", map[string]string{"app.js": app})
	dir := t.TempDir()
	l, end := w.open(dir)
	s := w.site(l, "my-app", "v1")
	mustRead(t, s, "app.js")
	companion(t, s, "app.js.gz")
	end()
	name := filepath.Join(dir, "v1", "docs", derivationsName)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-40] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	l, _ = w.open(dir)
	s = w.site(l, "my-app", "v1")
	if c, settled := s.Companion(tree.Root, "app.js.gz"); c != nil || settled {
		t.Errorf("got %v, settled %v; want that a damaged table says nothing", c, settled)
	}
	if got := inflate(t, companion(t, s, "app.js.gz")); got != app {
		t.Errorf("got %d other bytes", len(got))
	}
}

// removeContents takes the files of contents above 128 KiB out of a store, as
// eviction does.
func removeContents(t testing.TB, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "v1", "??", "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("got %q, %v; want contents", names, err)
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnEvictedCompanionIsMadeAgainWhenItIsRead(t *testing.T) {
	w := newWorld(t)
	app := fmt.Sprintf("%x", noise(300_000, 1)) // so that the companion is a file of its own
	w.Publish("my-app", "v1", map[string]string{"app.js": app})
	dir := t.TempDir()
	l, _ := w.open(dir)
	s := w.site(l, "my-app", "v1")
	mustRead(t, s, "app.js")
	c := companion(t, s, "app.js.gz")
	removeContents(t, dir)
	if again, settled := s.Companion(tree.Root, "app.js.gz"); again != nil || settled {
		t.Errorf("looked up while it is gone: got %v, settled %v", again, settled)
	}
	if got := inflate(t, c); got != app {
		t.Errorf("got %d other bytes", len(got))
	}
	again, _ := s.Companion(tree.Root, "app.js.gz")
	if again == nil || again.Digest != c.Digest {
		t.Errorf("after it was read: got %v, want it back", again)
	}
	p, ok := c.Piece(0, 1000)
	if !ok {
		t.Fatal("a large companion has no file")
	}
	p.Release()
	removeContents(t, dir)
	w.SetDown(true)
	if _, err := c.ReadAt(t.Context(), make([]byte, 10), 0); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with neither the file nor a registry: got %v, want an error that is none of absence", err)
	}
}

func TestNothingIsMadeWhileReadersWait(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"app.js": script(1, 20_000)})
	l, _ := w.open(t.TempDir())
	s := w.site(l, "my-app", "v1")
	mustRead(t, s, "app.js")
	s.content.fetches.waiting.Add(1)
	s.Companion(tree.Root, "app.js.gz")
	time.Sleep(wishDelay + 5*patience)
	if c, settled := s.Companion(tree.Root, "app.js.gz"); c != nil || settled {
		t.Errorf("got %v, settled %v while somebody waits for a fetch", c, settled)
	}
	s.content.fetches.waiting.Add(-1)
	companion(t, s, "app.js.gz")
}

// onlyReader hides that a reader can write by itself.
type onlyReader struct{ io.Reader }

// TestTheSameContentGivesTheSameCompanion pins what the compressor writes. When
// this fails a new compressor is at work: give derivationsName another number.
func TestTheSameContentGivesTheSameCompanion(t *testing.T) {
	plain := script(1, 100_000)
	data, err := compress(func(w io.Writer) error { _, err := io.WriteString(w, plain); return err }, 100_000, atOnce)
	if err != nil {
		t.Fatal(err)
	}
	const want = "f06922e0185fb3e0f4dbf5cfb4be30ca1691f6e126ee76379ba3fb81b12619cd"
	if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != want {
		t.Errorf("got %s of %d bytes, want %s", got, len(data), want)
	}
	pieces, err := compress(func(w io.Writer) error {
		_, err := io.CopyBuffer(w, onlyReader{strings.NewReader(plain)}, make([]byte, 777))
		return err
	}, 100_000, atOnce)
	if err != nil || !bytes.Equal(pieces, data) {
		t.Errorf("written in other pieces: got %d bytes, %v; want the same %d", len(pieces), err, len(data))
	}
	if !bytes.Equal(data[4:8], make([]byte, 4)) || data[3] != 0 {
		t.Errorf("the header says more than it must: % x", data[:10])
	}
}

func (t *derivations) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.young) + len(t.old)
}

func TestTheTableOfCompanionsIsBounded(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open(t.TempDir())
	table := l.companions.made
	id := func(i int) (d tree.Digest) { copy(d[:], fmt.Sprint(i)); return d }
	for i := range 3 * maxDerivations {
		table.add(id(i), derived{size: int64(i)})
		table.get(id(0))
	}
	if n := table.len(); n > maxDerivations {
		t.Errorf("got %d entries, want at most %d", n, maxDerivations)
	}
	for _, i := range []int{0, 3*maxDerivations - 1} { // in use, and new
		if d, ok := table.get(id(i)); !ok || d.size != int64(i) {
			t.Errorf("entry %d: got %v, %v", i, d, ok)
		}
	}
	table.save()
	again := newDerivations(table.store)
	if d, ok := again.get(id(3*maxDerivations - 1)); !ok || d.size != 3*maxDerivations-1 {
		t.Errorf("after a restart: got %v, %v", d, ok)
	}
	again.add(id(-1), derived{size: 7})
	again.save()
	table.restore()
	if n := table.len(); n > maxDerivations {
		t.Errorf("got %d entries after a merge, want at most %d", n, maxDerivations)
	}
}

// BenchmarkCompanion is what each request of a web server costs that the kernel
// does not answer.
func BenchmarkCompanion(b *testing.B) {
	w := newWorld(b)
	w.Publish("my-app", "v1", map[string]string{"app.js": script(1, 20_000)})
	l, _ := w.open(b.TempDir())
	s := w.site(l, "my-app", "v1")
	mustRead(b, s, "app.js")
	companion(b, s, "app.js.gz")
	for _, name := range []string{"app.js.gz", "nothing.js.gz", "nothing.js"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.Companion(tree.Root, name)
			}
		})
	}
}

func BenchmarkCompress(b *testing.B) {
	plain := script(1, 20_000)
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if _, err := compress(func(w io.Writer) error { _, err := io.WriteString(w, plain); return err }, 20_000, atOnce); err != nil {
			b.Fatal(err)
		}
	}
}
