package cache

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// latelyBytes bounds what is in memory of what was put for who is about to
	// read it: what is fetched ahead of one reader, where it compresses to a half.
	latelyBytes = 16 << 20
	// latelyMost bounds how many contents that are: some 600 KiB of index.
	latelyMost = 1 << 12
	// latelyFor is for how long after the last of them all of it stays.
	latelyFor = 2 * time.Second
)

// lately are contents that were put a moment ago for who is about to read them,
// as a ring of the records that were written. Who reads them from the disk would
// have to hash them again. The ring is no memory of Go's: that would let as much
// garbage gather, and keep all of it for minutes when nothing is read any more.
type lately struct {
	mu    sync.RWMutex // guards all below
	ring  []byte       // nil while there is none
	next  int          // where in the ring the next record goes
	order []entry      // the oldest first, their offsets those in the ring
	at    map[Key]entry
	quiet *time.Timer // nil before the first
}

// add holds a copy of records that lie one after another in b, of which marks are
// never read.
func (l *lately) add(b []byte, entries []usedEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begin() {
		return
	}
	at := l.place(len(b))
	copy(l.ring[at:], b)
	for _, e := range entries {
		if e.size > 0 {
			e.offset += uint32(at)
			l.order = append(l.order, e.entry)
			l.at[e.key] = e.entry
		}
	}
	for len(l.order) > latelyMost {
		l.drop()
	}
}

// begin makes the ring, if there is none, and has it go when it is quiet. False
// means that the machine has no memory for it.
func (l *lately) begin() bool {
	if l.ring == nil {
		ring, err := unix.Mmap(-1, 0, latelyBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return false
		}
		l.ring, l.at = ring, map[Key]entry{}
	}
	if l.quiet == nil {
		l.quiet = time.AfterFunc(latelyFor, l.clear)
	}
	l.quiet.Reset(latelyFor)
	return true
}

// place makes room for n bytes, which are fewer than those of the ring.
func (l *lately) place(n int) int {
	if l.next+n > len(l.ring) {
		l.dropBetween(l.next, len(l.ring))
		l.next = 0
	}
	at := l.next
	l.next += n
	l.dropBetween(at, l.next)
	return at
}

// dropBetween lets what begins between two places of the ring go. It is the oldest.
func (l *lately) dropBetween(from, to int) {
	for len(l.order) > 0 && int(l.order[0].offset) >= from && int(l.order[0].offset)-recordHeader < to {
		l.drop()
	}
}

// drop lets the oldest go.
func (l *lately) drop() {
	e := l.order[0]
	l.order = l.order[1:]
	if l.at[e.key] == e {
		delete(l.at, e.key)
	}
}

// read copies all of content k into p, which is as large.
func (l *lately) read(k Key, p []byte) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	e, ok := l.at[k]
	if !ok || int(e.size) != len(p) {
		return false
	}
	copy(p, l.ring[e.offset:e.end()])
	return true
}

// clear gives the memory back.
func (l *lately) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ring != nil {
		_ = unix.Munmap(l.ring) // fails for what is no mapping
	}
	l.ring, l.next, l.order, l.at = nil, 0, nil, nil
}
