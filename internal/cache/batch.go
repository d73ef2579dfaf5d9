package cache

import (
	"errors"
	"sync"
)

// batchSize is how much a Batch gathers before it writes, in bytes: a member of a
// layer most often fits, and the largest content that goes into a segment does.
const batchSize = verifyWhole + 16<<10

// Batch keeps contents that come together: many small ones by one write. It is
// for one goroutine, and must be closed.
type Batch struct {
	s       *Store
	b       []byte  // records, one after another
	entries []entry // of the records; their offsets are in b
}

// batches are used again: each has its memory.
var batches = sync.Pool{New: func() any { return &Batch{b: make([]byte, 0, batchSize)} }}

// Batch begins a batch.
func (s *Store) Batch() *Batch {
	b := batches.Get().(*Batch)
	b.s = s
	return b
}

// PutVerified keeps data as the content k, with which the caller has just
// compared it, at the latest when the batch is closed. An error says that some
// content of the batch cannot be read: what there is no room for can be, for a
// moment.
func (b *Batch) PutVerified(k Key, data []byte) error {
	if int64(len(data)) > b.s.small {
		return b.s.putOrHold(k, data)
	}
	if r, _, err := b.s.segments.find(k); err == nil {
		b.s.touchRecord(k, r)
		return nil
	}
	var err error
	if n := len(b.b) + recordHeader + len(data); n > batchSize || int64(n) > b.s.segments.max {
		err = b.flush()
	}
	b.add(k, data)
	return err
}

func (b *Batch) add(k Key, data []byte) {
	at := len(b.b)
	b.b = append(b.b, make([]byte, recordHeader)...)
	putHeader(b.b[at:], k, len(data))
	b.b = append(b.b, data...)
	b.entries = append(b.entries, entry{k, uint32(at + recordHeader), uint32(len(data))})
}

// Close keeps what was gathered. The batch cannot be used afterwards.
func (b *Batch) Close() error {
	err := b.flush()
	b.s = nil
	batches.Put(b)
	return err
}

// flush writes what was gathered. Where there is no room for all of it, there may
// be for some.
func (b *Batch) flush() (lost error) {
	if len(b.entries) > 0 && b.s.putRecords(b.b, b.entries) != nil {
		for _, e := range b.entries {
			lost = errors.Join(lost, b.s.putOrHold(e.key, b.b[e.offset:e.end()]))
		}
	}
	b.b, b.entries = b.b[:0], b.entries[:0]
	return lost
}

// putOrHold is PutVerified for who does not mind where the content is.
func (s *Store) putOrHold(k Key, data []byte) error {
	err := s.PutVerified(k, data)
	if err != nil && s.Has(k, int64(len(data))) {
		return nil
	}
	return err
}
