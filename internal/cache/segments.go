package cache

import (
	"io/fs"
	"sync"
	"time"
)

const (
	// segmentMax is how large a segment gets, in bytes: large enough that a
	// cache of 10 GiB has few, small enough to be removed in a moment.
	segmentMax = 64 << 20
	// segmentParts is in how many segments a small cache is divided at least,
	// and a large one about: they go one by one, and each is an open file.
	segmentParts = 64
	// segmentLimit keeps offsets in 32 bits, also of the largest caches.
	segmentLimit = 1 << 30
)

func segmentSize(limit int64) int64 {
	if limit/segmentParts < segmentMax {
		return limit / segmentParts
	}
	return min(max(segmentMax, limit/(8*segmentParts)), segmentLimit)
}

// segments are the small contents and the marks: all segments of the folder and
// an index of them in memory, 48 bytes each.
type segments struct {
	dir     *folder
	scratch *scratch
	usage   *usage
	max     int64 // bytes of one segment

	// write is held while a record is written, as the kernel's lock on the file
	// would be, and while the list of segments is read. It is above mu.
	write   sync.Mutex
	current *segment // nil before the first record
	claimed bool     // a segment that others left was looked for

	mu       sync.RWMutex // guards all below
	closed   bool
	index    map[Key]record
	marks    int64 // of the records in index
	byNumber map[uint32]*segment
	last     uint32
}

// record is where a content is.
type record struct {
	segment, offset, size uint32
	used                  uint32 // seconds since 1970
}

// isMark tells a mark from a content.
func (r record) isMark() bool { return r.size == 0 }

func newSegments(d *folder, s *scratch, u *usage, limit int64) (*segments, error) {
	if err := own(d.root, segmentsDir); err != nil {
		return nil, err
	}
	return &segments{
		dir: d, scratch: s, usage: u, max: segmentSize(limit),
		index: map[Key]record{}, byNumber: map[uint32]*segment{},
	}, nil
}

func seconds(t time.Time) uint32 { return uint32(max(0, t.Unix())) }

// find gives the record of k and the file that it is in.
func (g *segments) find(k Key) (r record, file *segment, err error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return r, nil, fs.ErrClosed
	}
	r, ok := g.index[k]
	if !ok {
		return r, nil, fs.ErrNotExist
	}
	return r, g.byNumber[r.segment], nil
}

func (g *segments) has(k Key) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	_, ok := g.index[k]
	return ok
}

func (g *segments) count() int64 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return int64(len(g.index)) - g.marks
}

// touch notes that k was used. The segment's modification time, which is what
// other processes and the next one know of it, follows now and then.
func (g *segments) touch(k Key, r record, now time.Time) {
	if r.used == seconds(now) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.index[k]
	if !ok || at.segment != r.segment {
		return
	}
	at.used = seconds(now)
	g.index[k] = at
	if s := g.byNumber[r.segment]; now.Unix()-s.touched >= int64(touchInterval/time.Second) {
		s.touched = now.Unix()
		_ = g.dir.root.Chtimes(segmentPath(s.name), now, now) // a read-only disk: eviction is less exact
	}
}

// forget drops a record that turned out to be damaged. False means that
// somebody else did, or that there is another one by now.
func (g *segments) forget(k Key, r record) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.index[k]
	if !ok || at.segment != r.segment || at.offset != r.offset {
		return false
	}
	g.delete(k)
	return true
}

// insert makes a segment known, or closes its file.
func (g *segments) insert(s *segment) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		_ = s.file.Close()
		return fs.ErrClosed
	}
	g.last++
	s.number = g.last
	g.byNumber[s.number] = s
	g.usage.segment(s.size)
	return nil
}

// own begins or ends that this process appends to s, and nobody else.
func (g *segments) own(s *segment, own bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.own = own
	if own {
		g.usage.segment(s.end - s.size)
		s.size = s.end
	}
}

// all are the segments of now.
func (g *segments) all() []*segment {
	g.mu.RLock()
	defer g.mu.RUnlock()
	all := make([]*segment, 0, len(g.byNumber))
	for _, s := range g.byNumber {
		all = append(all, s)
	}
	return all
}

func (g *segments) entriesOf(number uint32) (entries []entry) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for k, r := range g.index {
		if r.segment == number {
			entries = append(entries, entry{k, r.offset, r.size})
		}
	}
	return entries
}

// remove forgets a segment, all in it, and closes its file; it tells how many
// contents were in it. Who reads from it right now may find it closed, which is
// the same as coming late.
func (g *segments) remove(s *segment) (contents int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byNumber[s.number] != s {
		return 0
	}
	delete(g.byNumber, s.number)
	for k, r := range g.index {
		if r.segment != s.number {
			continue
		}
		g.delete(k)
		if !r.isMark() {
			contents++
		}
	}
	g.usage.segment(-s.size)
	_ = s.file.Close()
	return contents
}

func (g *segments) close() {
	g.write.Lock()
	defer g.write.Unlock()
	if g.current != nil {
		g.seal()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, s := range g.byNumber {
		_ = s.file.Close()
	}
	g.byNumber, g.index, g.marks = nil, nil, 0
}
