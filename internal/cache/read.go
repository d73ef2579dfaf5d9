package cache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// verifyWhole is the size in bytes up to which a content is read and hashed
	// with every call: what the kernel reads at once, so that one call most
	// often is all. A larger one is hashed when it is opened.
	verifyWhole = 128 << 10
	// touchInterval is how old the modification time of a content that is used
	// may get. It is the clock of eviction, which may be coarse, while writing
	// an inode for every read is slow.
	touchInterval = time.Hour
)

// buffers are for contents that do not fit into what the caller gave.
var buffers = sync.Pool{New: func() any { b := make([]byte, verifyWhole); return &b }}

// Has tells whether a content of size bytes can be read, without verifying it.
func (s *Store) Has(k Key, size int64) bool {
	if s.Kept(k, size) {
		return true
	}
	_, ok := s.held.get(k, s.now())
	return ok
}

// Kept tells whether a content of size bytes is on the disk, without verifying
// it. Small ones cost no system call: who lists a site asks for each of its
// files.
func (s *Store) Kept(k Key, size int64) bool {
	if s.segments.has(k) {
		return true
	}
	if size <= s.small {
		return false
	}
	_, _, ok := s.dir.has(k)
	return ok
}

// ReadAt reads from the content k of size bytes at offset off, as io.ReaderAt
// says: fewer than len(p) bytes come with an error, which is io.EOF at the end
// of the content. The bytes were verified. fs.ErrNotExist means that the
// content is not there or was damaged: fetch it again.
func (s *Store) ReadAt(k Key, size int64, p []byte, off int64) (int, error) {
	if off < 0 || size < 0 {
		return 0, fmt.Errorf("content %s: read at %d of %d: %w", short(k), off, size, fs.ErrInvalid)
	}
	read := s.readLarge
	if size <= verifyWhole {
		read = s.readSmall
	}
	want := max(0, min(int64(len(p)), size-off))
	err := read(k, size, p, off, want)
	if errors.Is(err, fs.ErrNotExist) && s.readHeld(k, size, p[:want], off) == nil {
		err = nil
	}
	if err != nil {
		s.misses.Add(1)
		return 0, err
	}
	s.hits.Add(1)
	if want < int64(len(p)) {
		return int(want), io.EOF
	}
	return int(want), nil
}

// Bytes is the whole content k of size bytes, verified. Errors are as with
// ReadAt.
func (s *Store) Bytes(k Key, size int64) ([]byte, error) {
	b, err := s.whole(k, size, nil)
	if errors.Is(err, fs.ErrNotExist) {
		if data, ok := s.held.get(k, s.now()); ok && int64(len(data)) == size {
			b, err = slices.Clone(data), nil
		}
	}
	if err != nil {
		s.misses.Add(1)
		return nil, err
	}
	s.hits.Add(1)
	return b, nil
}

// readSmall reads all of a content into p if it fits, and else aside.
func (s *Store) readSmall(k Key, size int64, p []byte, off, want int64) error {
	if off == 0 && want == size {
		_, err := s.whole(k, size, p)
		return err
	}
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	data, err := s.whole(k, size, *b)
	if err == nil && want > 0 {
		copy(p, data[off:])
	}
	return err
}

// whole reads and verifies a content into buf, or into new memory where that
// is too small. Nothing is allocated before the content was found to be as
// large. Small ones may be files too: earlier versions of regfs had no segments.
func (s *Store) whole(k Key, size int64, buf []byte) ([]byte, error) {
	// A content may move to another segment while it is read, a few times.
	for range 3 {
		r, segment, err := s.segments.find(k)
		if errors.Is(err, fs.ErrClosed) {
			return nil, err
		}
		if err != nil {
			break
		}
		b, err := s.wholeRecord(k, size, r, segment, buf)
		if !errors.Is(err, fs.ErrClosed) {
			return b, err
		}
	}
	f, err := s.dir.openFile(k)
	if err != nil {
		return nil, s.missing(k, err, 0)
	}
	defer f.close()
	if f.state.size != size {
		return nil, s.check(k, size, f)
	}
	if int64(len(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	if _, err := f.ReadAt(buf, 0); err != nil {
		return nil, s.missing(k, err, size)
	}
	if sha256.Sum256(buf) != k {
		return nil, s.missing(k, errContents, size)
	}
	s.touch(k, f.state.modified())
	return buf, nil
}

// wholeRecord is whole for a content that is in a segment. fs.ErrClosed means
// that the segment was evicted right now.
func (s *Store) wholeRecord(k Key, size int64, r record, g *segment, buf []byte) ([]byte, error) {
	if len(buf) < int(r.size) {
		buf = make([]byte, r.size)
	}
	buf = buf[:r.size]
	if int64(r.size) == size && s.lately.read(k, buf) {
		s.touchRecord(k, r)
		return buf, nil
	}
	if _, err := g.file.ReadAt(buf, int64(r.offset)); err != nil {
		return nil, s.missingRecord(k, r, err)
	}
	if sha256.Sum256(buf) != k {
		return nil, s.missingRecord(k, r, errContents)
	}
	if err := wrongSize(k, int64(r.size), size); err != nil {
		return nil, err
	}
	s.touchRecord(k, r)
	return buf, nil
}

// readLarge reads from a file that was hashed since it was last changed.
func (s *Store) readLarge(k Key, size int64, p []byte, off, want int64) error {
	if s.segments.has(k) { // and so has another size than the caller says
		_, err := s.whole(k, size, nil)
		return err
	}
	// A file changes at most when it is touched, evicted or damaged: the second
	// try sees it anew, the third one is for bad luck.
	for range 3 {
		o, err := s.open.get(k)
		if err != nil {
			return err
		}
		err = s.readOpen(o, size, p[:want], off)
		if err != nil {
			s.open.discard(o)
		}
		s.open.put(o)
		if !errors.Is(err, errChanged) {
			return err
		}
	}
	return s.missing(k, errChanged, size)
}

func (s *Store) readOpen(o *openFile, size int64, p []byte, off int64) error {
	f, err := s.verified(o, size)
	if err != nil {
		return err
	}
	if _, err := f.ReadAt(p, off); err != nil {
		return s.missing(o.key, err, size)
	}
	s.touch(o.key, f.state.modified())
	return nil
}

// verified opens and hashes the file of o, unless that was done. errChanged
// means that somebody has written to it since.
func (s *Store) verified(o *openFile, size int64) (file, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ok && o.file.changed() {
		return file{}, errChanged
	}
	if o.ok {
		return o.file, wrongSize(o.key, o.file.state.size, size)
	}
	f, err := s.dir.openFile(o.key)
	if err != nil {
		return file{}, s.missing(o.key, err, 0)
	}
	if err := s.check(o.key, size, f); err != nil {
		f.close()
		return file{}, err
	}
	o.file, o.ok = f, true
	return f, nil
}

// check says who is wrong when a file is not of the size that the caller names:
// sizes come from the network, and a lie there must not remove what is good.
func (s *Store) check(k Key, size int64, f file) error {
	if err := f.matches(k); err != nil {
		return s.missing(k, err, f.state.size)
	}
	return wrongSize(k, f.state.size, size)
}

func wrongSize(k Key, is, want int64) error {
	if is == want {
		return nil
	}
	return fmt.Errorf("content %s has %d bytes, and not %d: %w", short(k), is, want, fs.ErrNotExist)
}

// touch notes that a content was used.
func (s *Store) touch(k Key, modified time.Time) {
	now := s.now()
	s.recent.add(k, now)
	if now.Sub(modified) < touchInterval {
		return
	}
	_ = s.dir.root.Chtimes(path(k), now, now) // a read-only disk: eviction is less exact
}

func (s *Store) touchRecord(k Key, r record) {
	now := s.now()
	s.recent.add(k, now)
	s.segments.touch(k, r, now)
}

// missingRecord is missing for a content that is in a segment. Its bytes stay
// where they are, unused, until the segment goes.
func (s *Store) missingRecord(k Key, r record, err error) error {
	if errors.Is(err, fs.ErrClosed) {
		return err
	}
	if !passing(err) && s.segments.forget(k, r) {
		s.damages.Add(1)
		s.log.Warn("damaged content dropped", "content", short(k), "reason", err)
	}
	return fmt.Errorf("content %s: %w", short(k), absent(err))
}

// missing is the error for a content that cannot be read because of err. A
// file that is itself the reason is removed; size is what it took.
func (s *Store) missing(k Key, err error, size int64) error {
	switch {
	case errors.Is(err, fs.ErrClosed):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("content %s: %w", short(k), fs.ErrNotExist)
	case !passing(err):
		s.remove(k, err, size)
	}
	return fmt.Errorf("content %s: %w", short(k), absent(err))
}

// absent is fs.ErrNotExist with the words of its cause but not its kind: that
// the cache may not read a file does not mean that who asks may not.
func absent(cause error) error {
	return fmt.Errorf("%w (%s)", fs.ErrNotExist, cause.Error())
}

// passing tells whether an error says nothing about the file.
func passing(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// remove takes a damaged file away, and says so once: who comes later does not
// find it. The caller must not hold its open file's entry as good.
func (s *Store) remove(k Key, why error, size int64) {
	err := s.dir.root.Remove(path(k))
	switch {
	case err == nil:
		s.damages.Add(1)
		s.usage.removed(k, onDisk(size))
		s.log.Warn("damaged content removed", "content", short(k), "reason", why)
	case errors.Is(err, fs.ErrNotExist):
	case s.quiet.ok(s.now()):
		s.log.Warn("damaged content cannot be removed", "content", short(k), "reason", why, "error", err)
	}
}
