package cache

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

const writerEnv = "REGFS_TEST_CACHE_WRITER"

// writeForEver is the process that is killed.
func writeForEver(dir string) {
	s, err := Open(dir, 16<<20)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			for i := uint64(os.Getpid()); ; i++ { // other contents in every process
				for _, size := range []int{50_000, 150_000} { // in a segment, and in a file
					data, k := bytesOf(i<<2|g, size)
					_ = s.Put(k, data)
				}
				_ = s.SaveDocument(fmt.Sprintf("trees/%d", g), make([]byte, i%1000))
			}
		})
	}
	wg.Wait()
}

func TestKilledWriterLeavesOnlyWholeFiles(t *testing.T) {
	dir := t.TempDir()
	for round := range 4 {
		killWriter(t, dir, 5+10*round)
		if left := entries(t, filepath.Join(dir, layout, tmpDir)); len(left) != 1 {
			t.Fatalf("temporary folders %q, want the dead writer's", left)
		}
		s, err := Open(dir, plenty)
		if err != nil {
			t.Fatal(err)
		}
		checkWhole(t, dir, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWriter lets a process write until there are so many files more, and
// kills it.
func killWriter(t *testing.T, dir string, files int) {
	t.Helper()
	before := contents(t, dir)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	eventually(t, "the writer writes", func() bool {
		fresh := slices.DeleteFunc(contents(t, dir), func(name string) bool { return slices.Contains(before, name) })
		return len(fresh) >= files
	})
}

func contents(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, layout, "??", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// checkWhole checks every file against its name, with and without the store.
func checkWhole(t *testing.T, dir string, s *Store) {
	t.Helper()
	if got := entries(t, filepath.Join(dir, layout, tmpDir)); len(got) != 1 {
		t.Errorf("temporary folders %q, want only the store's own", got)
	}
	for _, name := range contents(t, dir) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		k, ok := parse(filepath.Base(name))
		if !ok || sha256.Sum256(data) != k {
			t.Errorf("%s is not whole", name)
		}
		wantContent(t, s, k, data)
	}
	checkSegments(t, dir, s)
	names, err := s.Documents("trees")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := s.LoadDocument(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// checkSegments checks that the store knows all that was written whole.
func checkSegments(t *testing.T, dir string, s *Store) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, layout, segmentsDir, "*"+segmentSuffix))
	if err != nil || len(names) == 0 {
		t.Errorf("segments %q, %v; want some", names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		entries, _ := scan(bytes.NewReader(b), 0, int64(len(b)))
		for _, e := range entries {
			wantContent(t, s, e.key, b[e.offset:e.end()])
		}
	}
}

func TestSweepSparesTheLiving(t *testing.T) {
	dir := t.TempDir()
	a := openQuiet(t, dir, plenty)
	name, err := a.scratch.write(false, []byte("unfinished"))
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, layout, tmpDir, "dead")
	stray := filepath.Join(dir, layout, tmpDir, "stray")
	if err := os.MkdirAll(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	harm(t, filepath.Join(dead, "1"), []byte("half"))
	harm(t, stray, nil)
	openQuiet(t, dir, plenty)
	if _, err := os.Stat(filepath.Join(dir, layout, name)); err != nil {
		t.Errorf("unfinished file of a living store: %v", err)
	}
	for _, gone := range []string{dead, stray} {
		if _, err := os.Lstat(gone); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
}
