package cache

import "errors"

// Descriptor is the open file of a content that was verified, for who hands
// bytes on without a copy (splice, sendfile). It stays open until Release,
// whatever happens to the content or the store meanwhile.
type Descriptor struct {
	open *openFiles
	file *openFile
}

// Descriptor gives the file of the content k of size bytes, which was hashed
// when it was opened and was not changed since. Who uses it must Release it,
// and soon: it counts as one use, as a ReadAt does. False means that there is
// none, because the content is small enough to be verified with every read, is
// missing, or was damaged: ReadAt does what is right for each.
func (s *Store) Descriptor(k Key, size int64) (*Descriptor, bool) {
	if size <= verifyWhole {
		return nil, false
	}
	for range 3 { // as in readLarge
		o, err := s.open.get(k)
		if err != nil {
			return nil, false
		}
		f, err := s.verified(o, size)
		if err == nil {
			s.touch(k, f.state.modified())
			s.hits.Add(1)
			return &Descriptor{s.open, o}, true
		}
		s.open.discard(o)
		s.open.put(o)
		if !errors.Is(err, errChanged) {
			break
		}
	}
	return nil, false
}

// Fd is the number of the descriptor, good for reading until Release.
func (d *Descriptor) Fd() uintptr { return uintptr(d.file.file.fd) }

// Offset is where in the file the content begins, in bytes.
func (d *Descriptor) Offset() int64 { return 0 }

// Release gives the descriptor back. It must be called once.
func (d *Descriptor) Release() { d.open.put(d.file) }
