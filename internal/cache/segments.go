package cache

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
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

// freshRecord is one to be written: a content, or a mark, which has no data.
type freshRecord struct {
	key  Key
	data []byte
	used uint32 // seconds since 1970
}

func (r freshRecord) size() int64 { return int64(recordHeader + len(r.data)) }

// append writes records, by one write, but for those that are there already, in
// another segment than the one that is about to go.
func (g *segments) append(fresh []freshRecord, going *segment) error {
	g.write.Lock()
	defer g.write.Unlock()
	buf := records.Get().(*[]byte)
	defer records.Put(buf)
	b, written := (*buf)[:0], make([]usedEntry, 0, 2)
	for _, r := range fresh {
		if _, at, err := g.find(r.key); err == nil && at != going {
			continue
		}
		b = appendRecord(b, r)
		written = append(written, usedEntry{entry{r.key, uint32(len(b) - len(r.data)), uint32(len(r.data))}, r.used})
	}
	if len(b) == 0 {
		return nil
	}
	return g.place(b, written)
}

// appendAll writes records that lie one after another in b, by one write; the
// offsets of their entries are in b. One that came another way meanwhile is there
// twice, for as long as the segment is.
func (g *segments) appendAll(b []byte, entries []usedEntry) error {
	g.write.Lock()
	defer g.write.Unlock()
	return g.place(b, entries)
}

// place is appendAll with write held.
func (g *segments) place(b []byte, entries []usedEntry) error {
	s, err := g.writable(int64(len(b)))
	if err != nil {
		return err
	}
	if _, err := s.file.WriteAt(b, s.end); err != nil {
		_ = s.file.Truncate(s.end) // else the next record covers it
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range entries {
		e.offset += uint32(s.end)
		s.written = max(s.written, int64(e.used))
		g.put(e.key, record{s.number, e.offset, e.size, e.used})
	}
	s.end += int64(len(b))
	g.grow(s, s.end)
	return nil
}

// records are for what is written at once: a header and a content, as a rule with
// a mark.
var records = sync.Pool{New: func() any { b := make([]byte, 0, 2*recordHeader+verifyWhole); return &b }}

// put makes r the record of k, with mu held.
func (g *segments) put(k Key, r record) {
	g.delete(k)
	g.index[k] = r
	if r.isMark() {
		g.marks++
	}
}

// delete forgets the record of k, with mu held.
func (g *segments) delete(k Key) {
	r, ok := g.index[k]
	if !ok {
		return
	}
	delete(g.index, k)
	if r.isMark() {
		g.marks--
	}
}

// grow notes, with mu held, how long the file of s is.
func (g *segments) grow(s *segment, size int64) {
	if size > s.size {
		g.usage.segment(size - s.size)
		s.size = size
	}
}

// writable is the segment that the next n bytes go to, with write held.
func (g *segments) writable(n int64) (*segment, error) {
	if g.current != nil && g.current.end > 0 && g.current.end+n > g.max {
		g.seal()
	}
	if g.current == nil && !g.claimed {
		g.claimed = true
		g.current = g.claim()
	}
	if g.current != nil {
		return g.current, nil
	}
	s, err := g.create()
	g.current = s
	return s, err
}

// seal ends the current segment, with write held. Its index only spares time:
// an error is none. What is in it is read again, some milliseconds: to hold it
// would take as much memory as to find it.
func (g *segments) seal() {
	s := g.current
	g.current = nil
	g.own(s, false)
	entries, end := scan(s.file, 0, s.end)
	g.saveIndex(s, entries, end)
	s.unlock()
}

func (g *segments) saveIndex(s *segment, entries []entry, end int64) {
	tmp, err := g.scratch.write(false, formatIndex(s.name, entries, end))
	if err != nil {
		return
	}
	if g.dir.place(tmp, indexPath(s.name)) != nil {
		g.scratch.remove(tmp)
	}
}

func (g *segments) create() (*segment, error) {
	name := fmt.Sprintf("%016x%s", rand.Uint64(), segmentSuffix)
	file, err := g.dir.root.OpenFile(segmentPath(name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	s := &segment{name: name, file: file, own: true, touched: time.Now().Unix()}
	s.lock() // where there are no locks nothing is evicted either
	if err := g.insert(s); err != nil {
		_ = g.dir.root.Remove(segmentPath(name))
		return nil, err
	}
	return s, nil
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

// claim finds a segment that an earlier process began and did not fill, so
// that restarts do not leave ever more of them. What it left torn is cut off.
func (g *segments) claim() *segment {
	for _, s := range g.all() {
		if g.sizeOf(s) > g.max/2 || !s.lock() {
			continue
		}
		if size, ok := s.stat(); ok {
			g.scan(s, size)
			g.own(s, true)
			if s.file.Truncate(s.end) == nil {
				return s
			}
			g.own(s, false)
		}
		s.unlock()
	}
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
