package cache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
)

// Shelf is what one owner has of a store: the contents whose bytes were put on
// it, and so came from the owner. That others have put a content, and that it is
// on the disk, is no reason to let somebody read it who knows its digest alone.
//
// A content is on the disk once, on however many shelves it stands. That it
// stands on one is a mark: a record of no bytes, which is kept and evicted as
// contents are. A mark without its content still says that the owner had the
// bytes, and has them again when the content is put by anybody.
type Shelf struct {
	store *Store
	owner Key
}

// Shelf is that of an owner, which any word may stand for: the same in all
// processes.
func (s *Store) Shelf(owner string) Shelf {
	return Shelf{s, sha256.Sum256([]byte("shelf\x00" + owner))}
}

// ownerPart is how many bytes of an owner's hash are in its marks: as many as nobody
// can meet, and so few that a mark is hashed in one block of SHA-256.
const ownerPart = 16

// Mark is the key of the mark for content k, for who pins both. Contents may be
// anything, so that one could be made whose SHA-256 is that of these words; the
// complement of a SHA-256 is no content's digest.
func (h Shelf) Mark(k Key) Key {
	var words [ownerPart + len(k)]byte
	copy(words[:], h.owner[:ownerPart])
	copy(words[ownerPart:], k[:])
	m := sha256.Sum256(words[:])
	for i := range m {
		m[i] = ^m[i]
	}
	return m
}

// Marked tells whether content k was put on the shelf, be it there or not.
func (h Shelf) Marked(k Key) bool {
	m := h.Mark(k)
	if h.store.segments.has(m) {
		return true
	}
	_, ok := h.store.held.get(m, h.store.now())
	return ok
}

// Has is Store.Has for what is on the shelf. A mark takes a hash to be found, which
// is spared for what nobody has.
func (h Shelf) Has(k Key, size int64) bool { return h.store.Has(k, size) && h.Marked(k) }

// Kept is Store.Kept for what is on the shelf, and known to be on the disk.
func (h Shelf) Kept(k Key, size int64) bool {
	return h.store.segments.has(h.Mark(k)) && h.store.Kept(k, size)
}

// ReadAt is Store.ReadAt for what is on the shelf. What is not is
// fs.ErrNotExist, and not damaged by being asked for.
func (h Shelf) ReadAt(k Key, size int64, p []byte, off int64) (int, error) {
	if err := h.use(k); err != nil {
		return 0, err
	}
	return h.store.ReadAt(k, size, p, off)
}

// Bytes is Store.Bytes for what is on the shelf.
func (h Shelf) Bytes(k Key, size int64) ([]byte, error) {
	if err := h.use(k); err != nil {
		return nil, err
	}
	return h.store.Bytes(k, size)
}

// Descriptor is Store.Descriptor for what is on the shelf.
func (h Shelf) Descriptor(k Key, size int64) (*Descriptor, bool) {
	if size <= verifyWhole || h.use(k) != nil {
		return nil, false
	}
	return h.store.Descriptor(k, size)
}

// PutVerified is Store.PutVerified, and puts the content on the shelf. An error
// means that one of the two was not kept; both are there for a moment all the
// same.
func (h Shelf) PutVerified(k Key, data []byte) error {
	m := h.Mark(k)
	return h.store.put(k, data, &m)
}

// use notes that the mark of a content is used, so that it does not go before
// the content, or says why the content cannot be read.
func (h Shelf) use(k Key) error {
	err := h.store.useMark(h.Mark(k))
	if errors.Is(err, fs.ErrNotExist) {
		h.store.misses.Add(1)
		err = fmt.Errorf("content %s was not put on this shelf: %w", short(k), err)
	}
	return err
}

// useMark notes that a mark is used, be it on the disk or held. fs.ErrNotExist
// means that there is none.
func (s *Store) useMark(m Key) error {
	err := s.touchMark(m)
	if err == nil {
		return nil
	}
	if _, ok := s.held.get(m, s.now()); ok {
		return nil
	}
	return err
}

// touchMark is useMark for one on the disk.
func (s *Store) touchMark(m Key) error {
	r, _, err := s.segments.find(m)
	if err == nil {
		s.segments.touch(m, r, s.now())
	}
	return err
}
