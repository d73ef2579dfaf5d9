package bundle

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// stagingPrefix begins the names of unfinished layouts, beside the finished
// ones: no VERSION can begin with a dot.
const stagingPrefix = ".bundle-"

// staging is a layout that is being written. Its folder is locked for as long as
// this process lives, so that who finds one that is not knows it to be a
// leftover.
type staging struct {
	dir  string
	lock *os.File
}

// newStaging begins a layout in out, and removes those there that never were
// finished.
func newStaging(out string) (*staging, error) {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return nil, err
	}
	if err := sweep(out); err != nil {
		return nil, err
	}
	var s *staging
	var err error
	for range 3 { // somebody else's sweep may come between creating and locking
		if s, err = createStaging(out); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func createStaging(out string) (*staging, error) {
	dir := filepath.Join(out, stagingPrefix+rand.Text())
	if err := os.Mkdir(dir, 0o777); err != nil {
		return nil, err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		os.Remove(dir)
		return nil, err
	}
	s := &staging{dir, lock}
	// Not MkdirAll: it would bring back a folder that was swept away.
	for _, name := range []string{filepath.Dir(s.blobs()), s.blobs()} {
		if err := os.Mkdir(name, 0o777); err != nil {
			s.discard()
			return nil, err
		}
	}
	return s, nil
}

// lockFolder locks dir, or says that another process has.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// sweep removes the unfinished layouts in out that nobody holds.
func sweep(out string) error {
	list, err := os.ReadDir(out)
	if err != nil {
		return err
	}
	for _, d := range list {
		if !d.IsDir() || !strings.HasPrefix(d.Name(), stagingPrefix) {
			continue
		}
		dir := filepath.Join(out, d.Name())
		lock, err := lockFolder(dir)
		if err != nil {
			continue // somebody works on it, or it is gone
		}
		err = os.RemoveAll(dir)
		lock.Close()
		if err != nil {
			return fmt.Errorf("remove what an earlier run left: %w", err)
		}
	}
	return nil
}

// discard removes what is in the staging folder: an unfinished layout, or the
// one that the finished layout replaced.
func (s *staging) discard() {
	os.RemoveAll(s.dir)
	s.lock.Close()
}

// swapInto makes the layout target, in one step: whoever looks sees what was
// there or the new layout.
func (s *staging) swapInto(target string) error {
	for _, dir := range []string{s.blobs(), filepath.Dir(s.blobs()), s.dir} {
		if err := syncFolder(dir); err != nil {
			return err
		}
	}
	if err := s.rename(target); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(target))
}

func (s *staging) blobs() string { return filepath.Join(s.dir, ocispec.ImageBlobsDir, "sha256") }

func (s *staging) rename(target string) error {
	err := renameat2(s.dir, target, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) {
		// A file system without flags, such as NFS: its rename(2) replaces no
		// folder with something in it.
		err = os.Rename(s.dir, target)
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := checkReplaceable(target); err != nil {
		return err
	}
	err = renameat2(s.dir, target, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%s: this file system cannot swap two folders in one step: move the old one away first", target)
	}
	return err
}

func renameat2(from, to string, flags uint) error {
	if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
