package cache

import (
	"errors"
	"sync"
)

// batchSize is how much a Batch gathers before it writes, in bytes: a member of a
// layer most often fits, and the largest content that goes into a segment does.
const batchSize = verifyWhole + 16<<10

// Batch keeps contents that come together: many small ones by one write, with
// their marks if it is a shelf's. It is for one goroutine, and must be closed.
type Batch struct {
	s       *Store
	mark    func(Key) Key // nil for contents that are put on no shelf
	soon    bool          // see ReadSoon
	b       []byte        // records, one after another
	entries []usedEntry   // of the records; their offsets are in b
}

// batches are used again: each has its memory.
var batches = sync.Pool{New: func() any { return &Batch{b: make([]byte, 0, batchSize)} }}

// Batch begins a batch.
func (s *Store) Batch() *Batch {
	b := batches.Get().(*Batch)
	b.s, b.soon = s, false
	return b
}

// Batch begins a batch of what is put on the shelf.
func (h Shelf) Batch() *Batch {
	b := h.store.Batch()
	b.mark = h.Mark
	return b
}

// ReadSoon says that somebody is about to read what is put, as who goes through a
// layer is: for a moment it can be read from memory. It was verified, and is not
// again.
func (b *Batch) ReadSoon() { b.soon = true }

// PutVerified keeps data as the content k, with which the caller has just
// compared it, at the latest when the batch is closed. An error says that some
// content of the batch cannot be read: what there is no room for can be, for a
// moment.
func (b *Batch) PutVerified(k Key, data []byte) error {
	var err error
	switch {
	case int64(len(data)) > b.s.small:
		err = b.s.putOrHold(k, data)
	case !b.s.touched(k):
		err = b.add(k, data)
	}
	if b.mark == nil {
		return err
	}
	if m := b.mark(k); b.s.touchMark(m) != nil {
		err = errors.Join(err, b.add(m, nil))
	}
	return err
}

// add gathers a record. It writes those before where they are enough.
func (b *Batch) add(k Key, data []byte) (lost error) {
	if n := len(b.b) + recordHeader + len(data); n > batchSize || int64(n) > b.s.segments.max {
		lost = b.flush()
	}
	var e usedEntry
	b.b, e = appendRecord(b.b, freshRecord{k, data, seconds(b.s.now())})
	b.entries = append(b.entries, e)
	return lost
}

// Close keeps what was gathered. The batch cannot be used afterwards.
func (b *Batch) Close() error {
	err := b.flush()
	b.s, b.mark = nil, nil
	batches.Put(b)
	return err
}

// flush writes what was gathered. Where there is no room for all of it, there may
// be for some.
func (b *Batch) flush() (lost error) {
	switch {
	case len(b.entries) == 0:
		return nil
	case b.s.putAll(b.b, b.entries) != nil:
		for _, e := range b.entries {
			lost = errors.Join(lost, b.s.putOrHold(e.key, b.b[e.offset:e.end()]))
		}
	case b.soon:
		b.s.lately.add(b.b, b.entries)
	}
	b.b, b.entries = b.b[:0], b.entries[:0]
	return lost
}

// putOrHold keeps a content or mark for who does not mind where it is.
func (s *Store) putOrHold(k Key, data []byte) error {
	err := s.PutVerified(k, data)
	if err != nil && s.Has(k, int64(len(data))) {
		return nil
	}
	return err
}
