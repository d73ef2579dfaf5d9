package cache

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var sizes = []int{0, 1, 4095, 4096, 100_000, verifyWhole, verifyWhole + 1, 4 << 20}

func TestWhatIsPutIsRead(t *testing.T) {
	s := openStore(t, t.TempDir(), plenty)
	for i, size := range sizes {
		data, k := bytesOf(uint64(i), size)
		if s.Has(k, int64(size)) {
			t.Errorf("%d bytes: there before they were put", size)
		}
		put(t, s, uint64(i), size)
		if !s.Has(k, int64(size)) {
			t.Errorf("%d bytes: not there after they were put", size)
		}
		wantContent(t, s, k, data)
		for _, r := range [][2]int{{0, size}, {0, size + 1}, {0, 1}, {size / 2, 10}, {size / 2, size}, {size - 1, 5}, {size, 1}, {size + 7, 1}, {0, 0}} {
			checkRead(t, s, k, data, r[0], r[1])
		}
	}
}

func checkRead(t *testing.T, s *Store, k Key, data []byte, off, length int) {
	t.Helper()
	if off < 0 {
		return
	}
	wantN, wantErr := strings.NewReader(string(data)).ReadAt(make([]byte, length), int64(off))
	if length == 0 {
		wantErr = nil
	}
	p := make([]byte, length)
	n, err := s.ReadAt(k, int64(len(data)), p, int64(off))
	if n != wantN || !errors.Is(err, wantErr) {
		t.Errorf("%d bytes, read %d at %d: got %d, %v; want %d, %v", len(data), length, off, n, err, wantN, wantErr)
	}
	if n > 0 && string(p[:n]) != string(data[off:off+n]) {
		t.Errorf("%d bytes, read %d at %d: other bytes", len(data), length, off)
	}
}

func TestContentSurvivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, plenty)
	if err != nil {
		t.Fatal(err)
	}
	data, k := put(t, s, 1, 5000)
	large, kl := put(t, s, 2, 200_000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, plenty)
	wantContent(t, s, k, data)
	wantContent(t, s, kl, large)
	eventually(t, "the walk finds both", func() bool {
		st := s.Stats()
		return st.Bytes == recordHeader+5000+onDisk(200_000) && st.Files == 2
	})
}

func TestWrongDataAreNotKept(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, plenty)
	data, k := bytesOf(1, 100)
	data[50] ^= 1
	if err := s.Put(k, data); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
	if s.Has(k, 100) {
		t.Error("wrong data were kept")
	}
}

func TestPutAgainOnlyTouches(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	s.small = onlyFiles
	data, k := put(t, s, 1, 100)
	before, err := os.Stat(where(dir, k))
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return before.ModTime().Add(2 * touchInterval) }
	if err := s.Put(k, data); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(where(dir, k))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("the file was replaced")
	}
	if got, want := after.ModTime(), s.now(); !got.Equal(want) {
		t.Errorf("modified %v, want %v", got, want)
	}
}

func TestReadTouchesAtMostHourly(t *testing.T) {
	for _, size := range []int{100, 2 << 20} {
		dir := t.TempDir()
		s := openQuiet(t, dir, plenty)
		s.small = onlyFiles
		data, k := put(t, s, 1, size)
		start := time.Unix(1_700_000_000, 0)
		if err := os.Chtimes(where(dir, k), start, start); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ now, want time.Duration }{
			{0, 0}, {touchInterval - 1, 0}, {touchInterval, touchInterval}, {2*touchInterval - 1, touchInterval},
		} {
			s.now = func() time.Time { return start.Add(step.now) }
			checkRead(t, s, k, data, 0, 10)
			fi, err := os.Stat(where(dir, k))
			if err != nil {
				t.Fatal(err)
			}
			if got := fi.ModTime().Sub(start); got != step.want {
				t.Errorf("%d bytes read after %v: modified after %v, want %v", size, step.now, got, step.want)
			}
		}
	}
}

func TestOpenRefusesFoldersOfOthers(t *testing.T) {
	base := t.TempDir()
	place := func(name string) string { return filepath.Join(base, name) }
	mkdir := func(name string, mode fs.FileMode) string {
		if err := errors.Join(os.Mkdir(place(name), 0o700), os.Chmod(place(name), mode)); err != nil {
			t.Fatal(err)
		}
		return place(name)
	}
	mkdir("target", 0o700)
	if err := errors.Join(os.Symlink("target", place("link")), os.WriteFile(place("file"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ dir, want string }{
		{place("link"), "is a symbolic link"},
		{mkdir("group", 0o770), "can be written by others (mode 0770)"},
		{mkdir("world", 0o707), "can be written by others (mode 0707)"},
		{place("file"), "not a directory"},
	} {
		wantRefusal(t, test.dir, test.want)
	}
	t.Run("owner", func(t *testing.T) {
		needRoot(t)
		dir := mkdir("other", 0o700)
		if err := os.Chown(dir, 12345, -1); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, dir, "belongs to user 12345")
	})
}

func wantRefusal(t *testing.T, dir, want string) {
	t.Helper()
	s, err := Open(dir, plenty)
	if err == nil {
		s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want one with %q", err, want)
	}
}

func TestOpenMakesPrivateFolders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	openStore(t, dir, plenty)
	fi, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fi.Mode().Perm(), fs.FileMode(0o700); got != want {
		t.Errorf("mode %v, want %v", got, want)
	}
}

func TestOpenRefusesNoLimit(t *testing.T) {
	_, err := Open(t.TempDir(), 0)
	if err == nil || !strings.Contains(err.Error(), "limit of 0 bytes") {
		t.Errorf("got %v, want a word on the limit", err)
	}
}

func TestTempHasNoName(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, plenty)
	for name, temp := range map[string]func() (*os.File, error){"anonymous": s.Temp, "unlinked": s.scratch.unlinked} {
		f, err := temp()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := io.WriteString(f, "hello"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p := make([]byte, 5)
		if _, err := f.ReadAt(p, 0); err != nil || string(p) != "hello" {
			t.Errorf("%s: got %q, %v; want %q", name, p, err, "hello")
		}
		if got := entries(t, filepath.Join(dir, layout, s.scratch.name)); len(got) != 0 {
			t.Errorf("%s: left %q", name, got)
		}
		f.Close()
	}
}

func TestCloseLeavesNothingOpen(t *testing.T) {
	before := settledDescriptors(t)
	dir := t.TempDir()
	s, err := Open(dir, plenty)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		data, k := put(t, s, uint64(i), 2<<20)
		checkRead(t, s, k, data, 5, 10)
		_, err := s.ReadAt(k, 7, make([]byte, 1), 0) // a wrong size, small
		_, err2 := s.ReadAt(k, 3<<20, make([]byte, 1), 0)
		if err == nil || err2 == nil {
			t.Error("a wrong size was accepted")
		}
	}
	if err := s.SaveDocument("trees/a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := settledDescriptors(t); got != before {
		t.Errorf("%d descriptors, want %d", got, before)
	}
	if got := entries(t, filepath.Join(dir, layout, tmpDir)); len(got) != 0 {
		t.Errorf("temporary folder left: %q", got)
	}
	wantClosed(t, s)
}

func wantClosed(t *testing.T, s *Store) {
	t.Helper()
	data, k := bytesOf(77, 10)
	_, read := s.ReadAt(k, 10, make([]byte, 10), 0)
	_, large := s.ReadAt(k, 2<<20, make([]byte, 10), 0)
	_, load := s.LoadDocument("a")
	_, temp := s.Temp()
	for name, err := range map[string]error{
		"put": s.Put(k, data), "read": read, "read large": large,
		"save": s.SaveDocument("a", nil), "load": load, "temp": temp,
	} {
		if !errors.Is(err, fs.ErrClosed) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s after close: got %v, want fs.ErrClosed", name, err)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	s := openStore(t, t.TempDir(), plenty)
	s.open.max = 2 // so that files are closed while others read them
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 24 {
				seed, size := uint64(i%6), 1000
				if i%2 == 0 {
					size = verifyWhole + 1000
				}
				data, k := bytesOf(seed, size)
				if err := s.Put(k, data); err != nil {
					t.Errorf("put: %v", err)
				}
				checkRead(t, s, k, data, g*100, 300)
			}
		})
	}
	wg.Wait()
	if got, want := s.Stats(), int64(6); got.Files < want || got.Damaged != 0 {
		t.Errorf("got %+v, want %d files and no damage", got, want)
	}
}

func TestOneHashForManyReaders(t *testing.T) {
	s := openStore(t, t.TempDir(), plenty)
	data, k := put(t, s, 1, 2<<20)
	checkRead(t, s, k, data, 0, 100)
	first, err := s.open.get(k)
	if err != nil {
		t.Fatal(err)
	}
	defer s.open.put(first)
	fd := first.file.fd
	for i := range 20 {
		checkRead(t, s, k, data, i*1000, 100)
	}
	if !first.ok || first.file.fd != fd {
		t.Error("the file was opened again")
	}
	if got := s.open.lru.Len(); got != 1 {
		t.Errorf("%d open files, want 1", got)
	}
}
