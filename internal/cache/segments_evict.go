package cache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"time"
)

// keepPart is the part of a segment that may stay when it is evicted: what was
// used since it was written, and marks. It is copied, so little must be enough.
const keepPart = 4

// victim is a segment that may be evicted.
type victim struct {
	segment *segment
	bytes   int64
	used    time.Time // when its contents were used, on average
}

// victims are the segments that may be evicted, the oldest first: all but the
// current one and those of which much is recent.
func (g *segments) victims(recent func(Key) bool) (victims []victim) {
	g.write.Lock()
	current := g.current
	g.write.Unlock()
	g.mu.RLock()
	defer g.mu.RUnlock()
	type sum struct{ live, recent, used float64 }
	sums := map[uint32]*sum{}
	for number := range g.byNumber {
		sums[number] = &sum{}
	}
	for k, r := range g.index {
		s, size := sums[r.segment], float64(recordHeader+r.size)
		s.live += size
		s.used += size * float64(r.used)
		if recent(k) {
			s.recent += size
		}
	}
	for number, s := range sums {
		segment := g.byNumber[number]
		if segment != current && s.recent*keepPart <= float64(segment.size) {
			used := time.Unix(int64(s.used/max(1, s.live)), 0) // long ago, where nothing is left in it
			victims = append(victims, victim{segment, segment.size, used})
		}
	}
	slices.SortFunc(victims, func(a, b victim) int { return a.used.Compare(b.used) })
	return victims
}

// evictSegment removes a segment, and returns how many bytes that freed. One
// that some process appends to stays. So do marks that were used since then: their
// contents may lie elsewhere, and stay.
func (s *Store) evictSegment(ctx context.Context, v victim, since time.Time) int64 {
	if !v.segment.lock() {
		return 0
	}
	kept := s.keepMarks(v, since)
	kept += s.keepUsed(ctx, v, v.bytes/keepPart-kept)
	if err := s.dir.root.Remove(segmentPath(v.segment.name)); err != nil {
		if _, there := v.segment.stat(); there {
			v.segment.unlock()
			if s.quiet.ok(s.now()) {
				s.log.Warn("cannot evict", "segment", v.segment.name, "error", err)
			}
			return -kept
		}
	}
	_ = s.dir.root.Remove(indexPath(v.segment.name)) // else the next walk does
	s.evicted.Add(s.segments.drop(v.segment))
	s.evictedBytes.Add(v.bytes - kept)
	return v.bytes - kept
}

// keepMarks appends anew the marks that were used since then, or since the segment
// was full, by one write.
func (s *Store) keepMarks(v victim, since time.Time) (kept int64) {
	now := seconds(s.now())
	marks := s.segments.usedIn(v.segment, func(k Key, r record) uint32 {
		switch {
		case !r.isMark():
			return 0
		case s.pins.has(k):
			return now
		case r.used < seconds(since) && int64(r.used) <= v.segment.written:
			return 0
		}
		return min(r.used, now) // what is loaded may be said to have been used later
	})
	fresh := make([]freshRecord, 0, len(marks))
	for _, m := range marks {
		if kept+recordHeader > v.bytes/keepPart {
			break
		}
		fresh = append(fresh, freshRecord{key: m.key, used: m.used})
		kept += recordHeader
	}
	if s.segments.append(fresh, v.segment) != nil {
		return 0
	}
	return kept
}

// keepUsed appends anew what was used since the segment was full, first what
// is in use right now, up to so many bytes.
func (s *Store) keepUsed(ctx context.Context, v victim, most int64) (kept int64) {
	contents := s.segments.usedIn(v.segment, func(k Key, r record) uint32 {
		switch now := s.now(); {
		case r.isMark():
			return 0
		case s.stays(k, now):
			return max(r.used, seconds(now))
		case int64(r.used) <= v.segment.written:
			return 0
		}
		return r.used
	})
	for _, c := range contents {
		n := recordHeader + int64(c.size)
		if kept+n > most || ctx.Err() != nil {
			break
		}
		data := make([]byte, c.size)
		if _, err := v.segment.file.ReadAt(data, int64(c.offset)); err != nil || sha256.Sum256(data) != c.key {
			continue
		}
		if s.segments.append([]freshRecord{{c.key, data, c.used}}, v.segment) != nil {
			break
		}
		kept += n
	}
	return kept
}

type usedEntry struct {
	entry
	used uint32
}

// usedIn are the records of a segment that are worth a second chance, the best
// first: when they were used is what worth says, which is 0 for the others.
func (g *segments) usedIn(s *segment, worth func(Key, record) uint32) (used []usedEntry) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for k, r := range g.index {
		if r.segment != s.number {
			continue
		}
		if at := worth(k, r); at > 0 {
			used = append(used, usedEntry{entry{k, r.offset, r.size}, at})
		}
	}
	slices.SortFunc(used, func(a, b usedEntry) int { return cmp.Compare(b.used, a.used) })
	return used
}
