package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain is also the process that TestKilledWriter kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		writeForEver(dir)
	}
	goleak.VerifyTestMain(m)
}

const plenty = 1 << 30

// onlyFiles makes a store keep small contents as large ones are, and as all
// once were: in files of their own.
const onlyFiles = -1

// openStore opens a store as Open does.
func openStore(t testing.TB, dir string, limit int64) *Store {
	t.Helper()
	s := openQuiet(t, dir, limit)
	s.start()
	return s
}

// openQuiet opens a store that does nothing in the background.
func openQuiet(t testing.TB, dir string, limit int64) *Store {
	t.Helper()
	s, err := open(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	s.log = slog.New(slog.NewTextHandler(t.Output(), nil))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// bytesOf gives n bytes that differ for every seed.
func bytesOf(seed uint64, n int) ([]byte, Key) {
	var s [32]byte
	s[0], s[1], s[2], s[3] = byte(seed), byte(seed>>8), byte(seed>>16), byte(seed>>24)
	b := make([]byte, n)
	rand.NewChaCha8(s).Read(b)
	return b, sha256.Sum256(b)
}

func put(t testing.TB, s *Store, seed uint64, n int) ([]byte, Key) {
	t.Helper()
	data, k := bytesOf(seed, n)
	if err := s.Put(k, data); err != nil {
		t.Fatalf("put: %v", err)
	}
	return data, k
}

// where is the file of a content.
func where(dir string, k Key) string { return filepath.Join(dir, layout, path(k)) }

func wantMissing(t *testing.T, s *Store, k Key, size int) {
	t.Helper()
	n, err := s.ReadAt(k, int64(size), make([]byte, size), 0)
	if n != 0 || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Fatalf("got %d bytes, error %v; want 0 and fs.ErrNotExist alone", n, err)
	}
}

func wantContent(t *testing.T, s *Store, k Key, want []byte) {
	t.Helper()
	got, err := s.Bytes(k, int64(len(want)))
	if err != nil || string(got) != string(want) {
		t.Fatalf("got %d bytes, error %v; want the %d bytes that were put", len(got), err, len(want))
	}
}

// eventually polls until ok, for at most ten seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still not so: %s", what)
		}
	}
}

// needRoot ends a test that mounts or changes users. Without root the suite
// fails, so that nobody takes a part of it for the whole.
func needRoot(t *testing.T) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("REGFS_TEST_UNPRIVILEGED") != "":
		t.Skip("not root, and REGFS_TEST_UNPRIVILEGED is set")
	default:
		t.Fatal("this test needs root; set REGFS_TEST_UNPRIVILEGED=1 to do without it")
	}
}

// smallDisk mounts a file system of so many bytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("regfs-test", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		t.Fatalf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func descriptors(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// settledDescriptors counts them when what a store does in the background, such
// as its first walk, has ended: when the number stays the same for a while.
func settledDescriptors(t *testing.T) int {
	t.Helper()
	count, since := descriptors(t), time.Now()
	for end := time.Now().Add(10 * time.Second); time.Since(since) < 100*time.Millisecond && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if now := descriptors(t); now != count {
			count, since = now, time.Now()
		}
	}
	return count
}

// entries are the names in a folder.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	d, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range d {
		names = append(names, e.Name())
	}
	return names
}
