package cache

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	segmentsDir   = "segments" // no shard is called so
	segmentSuffix = ".seg"
	indexSuffix   = ".idx"
	// maxIndexFile bounds what is read of an index, in bytes: a million entries.
	maxIndexFile = indexHeader + indexEntry<<20
)

// segment is a file of records. Whoever appends to it holds its flock, which
// goes with the process.
type segment struct {
	number uint32
	name   string
	file   *os.File

	// Guarded by segments.mu.
	own     bool  // this process appends to it
	size    int64 // of the file, as far as known
	end     int64 // of the records that are in the index
	written int64 // when the last record came, as far as known; seconds since 1970
	touched int64 // the file's modification time, likewise
}

func segmentPath(name string) string { return segmentsDir + "/" + name }

func indexPath(name string) string {
	return segmentsDir + "/" + strings.TrimSuffix(name, segmentSuffix) + indexSuffix
}

// segmentName tells whether a file is called as segments are: 16 hex digits.
func segmentName(name, suffix string) bool {
	number, ok := strings.CutSuffix(name, suffix)
	_, err := strconv.ParseUint(number, 16, 64)
	return ok && len(number) == 16 && err == nil && strings.ToLower(number) == number
}

// openSegment opens a segment of any process.
func (f *folder) openSegment(name string) (*segment, error) {
	const flags = unix.O_NOFOLLOW | unix.O_NONBLOCK
	file, err := f.root.OpenFile(segmentPath(name), os.O_RDWR|flags, 0)
	if errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission) {
		file, err = f.root.OpenFile(segmentPath(name), os.O_RDONLY|flags, 0)
	}
	if err != nil {
		return nil, err
	}
	fi, err := file.Stat()
	if err == nil && (!fi.Mode().IsRegular() || fi.Size() > math.MaxUint32) {
		err = errNotFile
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	modified := fi.ModTime().Unix()
	return &segment{name: name, file: file, size: fi.Size(), written: modified, touched: modified}, nil
}

// readIndex is what the segment's index file says; nothing if there is none
// or it is damaged.
func (f *folder) readIndex(g *segment) ([]entry, int64) {
	file, err := f.root.OpenFile(indexPath(g.name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil || !fi.Mode().IsRegular() || fi.Size() > int64(maxIndexFile) {
		return nil, 0
	}
	b := make([]byte, fi.Size())
	if _, err := io.ReadFull(file, b); err != nil {
		return nil, 0
	}
	entries, end, _ := parseIndex(g.name, b, g.size)
	return entries, end
}

// lock tells whether nobody else appends to the segment; who calls it may then.
func (g *segment) lock() bool {
	return retry(func() error { return unix.Flock(int(g.file.Fd()), unix.LOCK_EX|unix.LOCK_NB) }) == nil
}

func (g *segment) unlock() { _ = unix.Flock(int(g.file.Fd()), unix.LOCK_UN) }

// stat is how long the segment's file is; false if it has no name any more.
func (g *segment) stat() (size int64, ok bool) {
	var st unix.Stat_t
	err := unix.Fstat(int(g.file.Fd()), &st)
	return st.Size, err == nil && st.Nlink > 0
}
