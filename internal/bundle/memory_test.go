package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regfs/regfs/internal/layer"
)

// siteOptions is a site of many members, packed without a cache.
func siteOptions(t testing.TB, files int) Options {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "site")
	for i := range files {
		writePage(t, dir, i, uint64(i))
	}
	return Options{Version: "v1", Dir: dir, Out: filepath.Join(t.TempDir(), "images"), Format: FormatDual}
}

// writePage writes page i with 15 kB of text that differs for each seed.
func writePage(t testing.TB, dir string, i int, seed uint64) {
	t.Helper()
	words := strings.Fields("a registry stores versions of files and serves them as a folder page link class")
	r := rand.New(rand.NewPCG(seed, 2))
	var b bytes.Buffer
	for b.Len() < 15_000 {
		fmt.Fprintf(&b, "%s %x ", words[r.IntN(len(words))], r.Uint64N(1<<12))
	}
	p := filepath.Join(dir, fmt.Sprintf("s%02d", i%20), fmt.Sprintf("p%04d.html", i))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func packsIn(t *testing.T, cache string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(cache, memoryFolder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// editPacks replaces each pack by what edit makes of it.
func editPacks(t *testing.T, cache string, edit func([]byte) []byte) {
	t.Helper()
	for _, name := range packsIn(t, cache) {
		data, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(name, edit(data), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestCacheNeverChangesTheResult(t *testing.T) {
	o := siteOptions(t, 20)
	want := snapshot(t, write(t, o).Path)
	flip := func(at func(n int) int) func([]byte) []byte {
		return func(b []byte) []byte {
			b[at(len(b))] ^= 1
			return b
		}
	}
	for name, edit := range map[string]func([]byte) []byte{
		"warm":              func(b []byte) []byte { return b },
		"empty":             func([]byte) []byte { return nil },
		"cut short":         func(b []byte) []byte { return b[:len(b)-1] },
		"cut in the middle": func(b []byte) []byte { return b[:len(b)/2] },
		"only an end":       func(b []byte) []byte { return b[len(b)-endSize:] },
		"longer":            func(b []byte) []byte { return append(b, 0) },
		"foreign":           func(b []byte) []byte { return bytes.Repeat([]byte("PK\x03\x04"), len(b)/4) },
		"damaged member":    flip(func(int) int { return 100 }),
		"damaged index":     flip(func(n int) int { return n - endSize - 3*indexEntrySize }),
		"damaged count":     flip(func(n int) int { return n - 17 }),
		"damaged magic":     flip(func(n int) int { return n - 1 }),
	} {
		o := o
		o.Cache = t.TempDir()
		for _, run := range []string{"first", "with the cache " + name, "after that"} {
			r := write(t, o)
			if got := snapshot(t, r.Path); !maps.Equal(got, want) {
				t.Errorf("%s, %s: got %q, want %q", name, run, got, want)
			}
			if r.CacheErr != nil {
				t.Errorf("%s, %s: got %v, want no error", name, run, r.CacheErr)
			}
			if run == "first" {
				editPacks(t, o.Cache, edit)
			}
		}
	}
}

// A member that is damaged is compressed again once, not by every run.
func TestDamagedPackIsReplaced(t *testing.T) {
	o := siteOptions(t, 30)
	o.Cache = t.TempDir()
	write(t, o)
	before := packsIn(t, o.Cache)
	editPacks(t, o.Cache, func(b []byte) []byte { b[10] ^= 1; return b })
	for range 3 {
		write(t, o)
	}
	after := packsIn(t, o.Cache)
	if len(before) != 1 || after[0] == before[0] {
		t.Errorf("got packs %q after %q, want others", after, before)
	}
	whole, err := openPack(after[len(after)-1])
	if err != nil {
		t.Fatal(err)
	}
	whole.file.Close()
}

func TestOnlyWhatChangedIsCompressedAgain(t *testing.T) {
	o := siteOptions(t, 200)
	o.Cache = t.TempDir()
	write(t, o)
	first := packsIn(t, o.Cache)
	write(t, o)
	if got := packsIn(t, o.Cache); len(first) != 1 || len(got) != 1 {
		t.Errorf("got %d packs, then %d, want one", len(first), len(got))
	}
	writePage(t, o.Dir, 100, 7777)
	write(t, o)
	var added int64
	for _, f := range listPacks(filepath.Join(o.Cache, memoryFolder)) {
		if filepath.Base(first[0]) != f.Name() {
			added += f.Size()
		}
	}
	info, err := os.Stat(first[0])
	if err != nil {
		t.Fatal(err)
	}
	if added == 0 || added > info.Size()/5 {
		t.Errorf("got %d bytes for one page of 200, want some and less than a fifth of all %d", added, info.Size())
	}
}

func TestSitesArePackedAtOnce(t *testing.T) {
	o := siteOptions(t, 60)
	want := write(t, o).Digest
	o.Cache = t.TempDir()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			o := o
			o.Version = fmt.Sprintf("at-once-%d", i)
			if r, err := Write(t.Context(), o); err != nil || r.Digest != want || r.CacheErr != nil {
				t.Errorf("got %q, %v, %v; want %q", r.Digest, err, r.CacheErr, want)
			}
		})
	}
	wg.Wait()
}

func TestUnusableCacheIsNoReasonToFail(t *testing.T) {
	o := siteOptions(t, 3)
	want := write(t, o).Digest
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for what, dir := range map[string]string{
		"below a file":                    filepath.Join(file, "cache"),
		"a folder that is none":           file,
		"in the packed folder":            filepath.Join(o.Dir, "cache"),
		"the packed folder":               o.Dir,
		"in the packed folder, by a path": filepath.Join(o.Dir, "s00", "..", "new", "cache"),
	} {
		o.Cache = dir
		if r := write(t, o); r.Digest != want || r.CacheErr == nil {
			t.Errorf("%s: got %q, %v; want %q and an error of the cache", what, r.Digest, r.CacheErr, want)
		}
	}
}

func TestLeastRecentlyUsedPacksGoFirst(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for _, f := range []struct {
		name string
		size int
		used time.Duration // ago
	}{{"new", 40, 0}, {"same-large", 30, time.Hour}, {"same-small", 20, time.Hour}, {"oldest", 10, 2 * time.Hour}} {
		p, used := filepath.Join(dir, f.name+packSuffix), now.Add(-f.used)
		if err := errors.Join(os.WriteFile(p, make([]byte, f.size), 0o644), os.Chtimes(p, used, used)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		size  int64
		count int
		want  []string
	}{
		{100, 4, []string{"new.members", "oldest.members", "other", "same-large.members", "same-small.members"}},
		{100, 3, []string{"new.members", "other", "same-large.members", "same-small.members"}},
		{89, 3, []string{"new.members", "other", "same-large.members"}},
		{39, 3, []string{"other"}},
	} {
		if err := prune(dir, c.size, c.count); err != nil {
			t.Fatal(err)
		}
		checkNothingLeft(t, dir, c.want...)
	}
}

func FuzzOpenPack(f *testing.F) {
	w, err := newPackWriter(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	w.add(layer.MemberKey{1}, []byte("one"))
	w.add(layer.MemberKey{2}, []byte("two"))
	name := w.file.Name()
	if err := w.close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "x"+packSuffix)
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := openPack(name)
		if err != nil {
			return
		}
		defer p.file.Close()
		for _, m := range p.members {
			var b bytes.Buffer
			if ok := p.read(m, &b); ok != (b.Len() > 0 || m.Length == 0) || ok && uint64(b.Len()) != m.Length {
				t.Errorf("got %v and %d bytes, want all %d or none", ok, b.Len(), m.Length)
			}
		}
	})
}

// BenchmarkNextVersion packs 80 MB of 5,000 pages, of which each time another
// 1 % differ from what the cache knows.
func BenchmarkNextVersion(b *testing.B) {
	o := siteOptions(b, 5000)
	for _, cache := range []string{"", b.TempDir()} {
		o.Cache = cache
		b.Run(map[bool]string{true: "remembered", false: "compressed"}[cache != ""], func(b *testing.B) {
			if _, err := Write(b.Context(), o); err != nil {
				b.Fatal(err)
			}
			seed := uint64(10_000)
			for b.Loop() {
				b.StopTimer()
				for i := range 50 {
					seed++
					writePage(b, o.Dir, i*100, seed)
				}
				b.StartTimer()
				if _, err := Write(b.Context(), o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
