package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	// sweepChunk is how much of a large file has a digest of its own.
	sweepChunk = 4 << 20
	// sweepShared is how many small files at most share a compressed member, which
	// ends behind 64 KiB, with those of the next folder.
	sweepShared = 2
)

// piece is what a flipped bit costs: a chunk of a large file, or a small file.
type piece struct {
	file   string
	offset int
	want   []byte
	group  int // of the two that are flipped one after the other
}

// sweepSite is 64 MiB in large and small files.
func sweepSite() site {
	s := manyFiles(550, 60<<10)
	for i := range 4 {
		s[fmt.Sprintf("large/%d.bin", i)] = noise(uint64(10_000+i), 2*sweepChunk)
	}
	return s
}

// pieces are all of s; of large files every other chunk is in the same group, of
// small ones every other folder.
func (s site) pieces(t testing.TB) (all []piece) {
	t.Helper()
	for _, name := range s.names() {
		var folder int
		if _, err := fmt.Sscanf(name, "d%d/", &folder); err != nil {
			folder = 0
		}
		for i := 0; i*sweepChunk < len(s[name]); i++ {
			at := i * sweepChunk
			all = append(all, piece{name, at, s[name][at:min(at+sweepChunk, len(s[name]))], (folder + i) % 2})
		}
	}
	return all
}

// read gives the bytes of a piece in the folder dir.
func (p piece) read(dir string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, p.file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	got := make([]byte, len(p.want))
	_, err = f.ReadAt(got, int64(p.offset))
	return got, err
}

// flipPieces inverts a bit of each piece of one group where file, the blob with
// all of them, holds it.
func flipPieces(t testing.TB, file string, all []piece, group int) {
	t.Helper()
	blob, err := os.ReadFile(file)
	must(t, err)
	at := 0 // packed in the order of names: the next is behind the last
	for _, p := range all {
		at += p.in(blob[at:])
		if p.group == group {
			blob[at] ^= 0x10
		}
	}
	must(t, os.WriteFile(file, blob, 0o644))
}

// in is where in blob, which begins in the piece before, one of the bytes of p
// is: in the middle, or where it would be if that is not stored as it is.
func (p piece) in(blob []byte) int {
	middle := p.want[len(p.want)/2:][1:64] // without the byte that may be flipped
	if i := bytes.Index(blob[:min(len(blob), 2*sweepChunk)], middle); i > 0 {
		return i - 1
	}
	return len(p.want)
}

// TestEveryChunkFlippedAtTheRegistryIsFound flips a bit of each chunk of 64 MiB
// where the registry keeps it, of one half of them at a time. None is handed
// out, the other half serves, and all do when the bits are back.
func TestEveryChunkFlippedAtTheRegistryIsFound(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	s := sweepSite()
	s.publish(t, reg.host, "my-app", "v1")
	blob := reg.blob(reg.layer(t, "my-app", "v1").Digest)
	all := s.pieces(t)
	for group := range 2 {
		flipPieces(t, blob, all, group)
		d := mount(t, reg.host, never)
		dir := d.path("my-app/v1")
		for _, p := range all {
			if p.group != group {
				continue
			}
			if _, err := p.read(dir); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s at %d, flipped: got %v, want %v", p.file, p.offset, err, syscall.EIO)
			}
		}
		wantRightOrShared(t, dir, all, 1-group)
		flipPieces(t, blob, all, group)
		for _, name := range s.names() { // what was wrong just now is not asked for again at once
			waitFor(t, filepath.Join(dir, name), s[name])
		}
		d.unmountCleanly(t)
	}
}

// wantRightOrShared reads the pieces of a group, which nobody touched: those that
// share a member with flipped ones may be an error.
func wantRightOrShared(t testing.TB, dir string, all []piece, group int) {
	t.Helper()
	failed := map[string]int{}
	for _, p := range all {
		if p.group != group {
			continue
		}
		got, err := p.read(dir)
		switch {
		case p.offset > 0 && group == 1: // its file begins with a flipped chunk: it is not found
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("%s, which begins with a flipped chunk: got %v, want %v", p.file, err, syscall.EIO)
			}
		case errors.Is(err, syscall.EIO):
			failed[filepath.Dir(p.file)]++
		case err != nil:
			t.Errorf("%s: %v", p.file, err)
		case !bytes.Equal(got, p.want):
			t.Errorf("%s at %d: got wrong bytes and no error", p.file, p.offset)
		}
	}
	for folder, n := range failed {
		if folder == "large" || n > 2*sweepShared {
			t.Errorf("%s: %d files that nobody touched cannot be read", folder, n)
		}
	}
}

// TestEveryContentFlippedInTheCacheIsFetchedAgain flips a byte of every content
// that the cache holds, under a daemon that runs and under one that starts.
func TestEveryContentFlippedInTheCacheIsFetchedAgain(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	s := sweepSite()
	s.publish(t, reg.host, "my-app", "v1")
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host, never)
	dir := d.path("my-app/v1")
	wantSite(t, dir, s)

	total := 0
	for _, content := range s {
		total += len(content)
	}
	const held = 32 << 20 // what a daemon that runs may have in memory
	for when, least := range map[string]int{"while the daemon runs": total - held, "while no daemon runs": total} {
		if least == total {
			d.unmountCleanly(t)
		}
		if n, all := flipContents(t, d.cache), len(s.pieces(t)); n < all {
			t.Fatalf("%s: only %d contents flipped, of %d", when, n, all)
		}
		if !d.running() {
			d.launch(t)
		}
		forget(t, dir, s)
		mark := relay.mark()
		wantSite(t, dir, s)
		got := bytesOf(relay.since(mark, "blobs"))
		if got < int64(least) {
			t.Errorf("%s: got %d bytes from the registry, want %d at least", when, got, least)
		}
	}
	relay.down() // what was fetched has healed the cache
	forget(t, dir, s)
	wantSite(t, dir, s)
}

// flipContents inverts a byte of each content in a cache and says how many.
func flipContents(t testing.TB, cache string) (n int) {
	t.Helper()
	must(t, filepath.WalkDir(filepath.Join(cache, "v1"), func(file string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		switch {
		case strings.HasSuffix(file, ".seg"):
			n += flipRecords(t, file)
		case len(filepath.Base(file)) == 64: // a digest in hex
			data, err := os.ReadFile(file)
			must(t, err)
			flip(t, file, int64(len(data)/2))
			n++
		}
		return nil
	}))
	return n
}

// flipRecords inverts a byte of each content in a segment: a magic of 4 bytes,
// the length in 4, 36 bytes of digest and checksum, the content.
func flipRecords(t testing.TB, file string) (n int) {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	const header = 44
	for at := 0; at+header < len(data) && strings.HasPrefix(string(data[at:at+4]), "rseg"); n++ {
		size := int(binary.LittleEndian.Uint32(data[at+4:]))
		if size > 0 {
			flip(t, file, int64(at+header+size/2))
		}
		at += header + size
	}
	return n
}

// forget drops what the kernel has of the files of s.
func forget(t testing.TB, dir string, s site) {
	t.Helper()
	for _, name := range s.names() {
		f, err := os.Open(filepath.Join(dir, name))
		must(t, err)
		must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		must(t, f.Close())
	}
}
