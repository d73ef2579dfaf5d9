package cache

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

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
		var e usedEntry
		b, e = appendRecord(b, r)
		written = append(written, e)
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
