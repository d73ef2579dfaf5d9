package cache

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// harm overwrites the file of a content, in place.
func harm(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(data []byte, at int) []byte {
	b := bytes.Clone(data)
	b[at] ^= 0x10
	return b
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, plenty)
	s.small = onlyFiles
	s.log = slog.New(slog.DiscardHandler)
	const size = 200
	data, k := bytesOf(1, size)
	for i := range size {
		put(t, s, 1, size)
		harm(t, where(dir, k), flip(data, i))
		wantMissing(t, s, k, size)
		if s.Has(k, size) {
			t.Fatalf("byte %d flipped: the file is still there", i)
		}
	}
	if got := s.Stats().Damaged; got != size {
		t.Errorf("damaged %d, want %d", got, size)
	}
}

func TestFlippedBytesInLargeContentAreFound(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, plenty)
	const size = verifyWhole + 5000
	data, k := bytesOf(1, size)
	for _, at := range []int{0, 1, 4096, size / 2, size - 1} {
		for _, open := range []bool{false, true} {
			put(t, s, 1, size)
			if open {
				checkRead(t, s, k, data, 10, 10)
			}
			harm(t, where(dir, k), flip(data, at))
			wantMissing(t, s, k, size)
			if s.Has(k, size) {
				t.Errorf("byte %d flipped, open before: %v: the file is still there", at, open)
			}
		}
	}
	put(t, s, 1, size)
	wantContent(t, s, k, data)
}

func TestDamagedFilesAreGone(t *testing.T) {
	for _, size := range []int{0, 1000, verifyWhole + 1000} {
		data, k := bytesOf(1, size)
		for name, damage := range map[string]func(t *testing.T, file string){
			"extended": func(t *testing.T, file string) { harm(t, file, append(bytes.Clone(data), 0)) },
			"symlink": func(t *testing.T, file string) {
				good := filepath.Join(t.TempDir(), "good")
				harm(t, good, data)
				if err := errors.Join(os.Remove(file), os.Symlink(good, file)); err != nil {
					t.Fatal(err)
				}
			},
			"pipe": func(t *testing.T, file string) {
				if err := errors.Join(os.Remove(file), unix.Mkfifo(file, 0o600)); err != nil {
					t.Fatal(err)
				}
			},
			"folder": func(t *testing.T, file string) {
				if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
					t.Fatal(err)
				}
			},
			"truncated": func(t *testing.T, file string) {
				if size == 0 {
					os.Remove(file)
					return
				}
				harm(t, file, data[:size-1])
			},
			"emptied": func(t *testing.T, file string) {
				if size == 0 {
					os.Remove(file)
					return
				}
				harm(t, file, nil)
			},
		} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				s := openStore(t, dir, plenty)
				s.small = onlyFiles
				put(t, s, 1, size)
				damage(t, where(dir, k))
				wantMissing(t, s, k, size)
				if _, err := os.Lstat(where(dir, k)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("got %v, want the file gone", err)
				}
				put(t, s, 1, size)
				wantContent(t, s, k, data)
			})
		}
	}
}

func TestPutRepairsAnotherSize(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, plenty)
	s.small = onlyFiles
	data, k := put(t, s, 1, 1000)
	harm(t, where(dir, k), data[:500])
	put(t, s, 1, 1000)
	wantContent(t, s, k, data)
}

func TestWrongSizeOfTheCallerHarmsNothing(t *testing.T) {
	s := openStore(t, t.TempDir(), plenty)
	for _, size := range []int{1000, verifyWhole + 1000} {
		data, k := put(t, s, 1, size)
		for _, wrong := range []int{0, 1, size - 1, size + 1, 3 << 20, 1 << 40} {
			_, err := s.ReadAt(k, int64(wrong), make([]byte, 10), 0)
			_, err2 := s.Bytes(k, int64(wrong))
			if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err2, fs.ErrNotExist) {
				t.Errorf("%d bytes asked as %d: got %v and %v, want fs.ErrNotExist", size, wrong, err, err2)
			}
		}
		wantContent(t, s, k, data)
	}
	if got := s.Stats().Damaged; got != 0 {
		t.Errorf("damaged %d, want 0", got)
	}
}

func TestDamageIsLoggedOnce(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, plenty)
	s.small = onlyFiles
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	data, k := put(t, s, 1, 1000)
	harm(t, where(dir, k), flip(data, 3))
	for range 3 {
		wantMissing(t, s, k, 1000)
	}
	if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), short(k)) {
		t.Errorf("got log %q, want one line with %s", log.String(), short(k))
	}
}

// asNobody runs f on a thread that has no rights on root's files.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	needRoot(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
		}
		f()
	}()
	<-done
}

func TestUnreadableFolderIsOnlyAMiss(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, plenty)
	s.small = onlyFiles
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	data, k := put(t, s, 1, 1000)
	large, kl := put(t, s, 2, verifyWhole+1)
	asNobody(t, func() {
		for range 3 {
			wantMissing(t, s, k, 1000)
			wantMissing(t, s, kl, verifyWhole+1)
		}
		if b, kb := bytesOf(3, 10); s.Put(kb, b) == nil {
			t.Error("a put worked")
		}
	})
	wantContent(t, s, k, data)
	wantContent(t, s, kl, large)
	if got := strings.Count(log.String(), "\n"); got != 1 {
		t.Errorf("got log %q, want one line", log.String())
	}
}

func TestDeletedFolderIsOnlyAMiss(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	s, err := Open(dir, plenty)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.small = onlyFiles
	_, k := put(t, s, 1, 1000)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, s, k, 1000)
	if data, k := bytesOf(2, 10); s.Put(k, data) == nil {
		t.Error("a put into a deleted folder worked")
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("the folder came back")
	}
}

func TestNoDescriptorsLeftIsNotDamage(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	s.small = onlyFiles
	data, k := put(t, s, 1, 1000)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = 3 // fewer than are open already
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	_, err := s.ReadAt(k, 1000, make([]byte, 10), 0)
	limit := openLimit()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	if limit != 4 {
		t.Errorf("up to %d open files, want 4", limit)
	}
	wantContent(t, s, k, data)
}

func TestFullDiskRefuses(t *testing.T) {
	dir := smallDisk(t, "1m")
	s := openQuiet(t, dir, plenty)
	s.reserve = -plenty // the store believes that there is room: the disk itself says no
	data, k := put(t, s, 1, 300_000)
	full, kf := bytesOf(2, 900_000)
	if err := s.Put(kf, full); !errors.Is(err, ErrFull) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v, want ErrFull and ENOSPC", err)
	}
	if err := s.SaveDocument("namespace", full); !errors.Is(err, ErrFull) {
		t.Errorf("document: got %v, want ErrFull", err)
	}
	if got := entries(t, filepath.Join(dir, layout, s.scratch.name)); len(got) != 0 {
		t.Errorf("left %q", got)
	}
	wantContent(t, s, k, data)
	if got := s.Stats(); got.Bytes != onDisk(300_000) || got.Files != 1 || got.Refused != 2 {
		t.Errorf("got %+v, want one file and two refused", got)
	}
}

func TestFullDiskRefusesSmallContents(t *testing.T) {
	s := openQuiet(t, smallDisk(t, "1m"), plenty)
	s.log = slog.New(slog.DiscardHandler)
	s.reserve = -plenty
	const size = 30_000
	kept := 0
	for i := range 60 {
		data, k := bytesOf(uint64(i), size)
		switch err := s.Put(k, data); {
		case err == nil:
			wantContent(t, s, k, data)
			kept++
		case !errors.Is(err, ErrFull):
			t.Errorf("got %v, want ErrFull", err)
		case s.Kept(k, size):
			t.Errorf("content %d of 60: refused, and on the disk all the same", i)
		}
	}
	if got := s.Stats(); kept < 20 || got.Files != int64(kept) || got.Bytes != int64(kept*(recordHeader+size)) {
		t.Errorf("got %+v, want the %d contents that fit", got, kept)
	}
}

func TestDiskKeepsItsReserve(t *testing.T) {
	dir := smallDisk(t, "10m")
	s := openStore(t, dir, plenty)
	if got, want := s.reserve, int64(10<<20/reservePart); got != want {
		t.Errorf("reserve %d, want %d", got, want)
	}
	for i := range 40 {
		data, k := bytesOf(uint64(i), 500_000)
		if err := s.Put(k, data); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		if _, free := s.dir.space(); free < s.reserve {
			t.Fatalf("%d bytes free after %d puts, want at least %d", free, i+1, s.reserve)
		}
	}
	if got := s.Stats(); got.Evicted == 0 || got.Refused > 4 {
		t.Errorf("got %+v, want old contents to make way for new ones", got)
	}
}

func TestReadOnlyDiskServes(t *testing.T) {
	dir := smallDisk(t, "10m")
	s := openQuiet(t, dir, plenty)
	s.small = onlyFiles
	data, k := put(t, s, 1, 1000)
	bad, kb := put(t, s, 2, 1000)
	harm(t, where(dir, kb), flip(bad, 0))
	remount := func(flags uintptr) {
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatalf("remount: %v", err)
		}
	}
	remount(unix.MS_RDONLY)
	defer remount(0)
	s.now = func() time.Time { return time.Now().Add(2 * touchInterval) }
	wantContent(t, s, k, data)
	wantMissing(t, s, kb, 1000)
	more, km := bytesOf(3, 10)
	if err := s.Put(km, more); !errors.Is(err, ErrFull) || !errors.Is(err, unix.EROFS) {
		t.Errorf("got %v, want ErrFull and EROFS", err)
	}
}
