package cache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"time"
)

// keepPart is the part of a segment that may stay when it is evicted: what was
// used since it was written. It is copied, so little must be enough.
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
// that some process appends to stays.
func (s *Store) evictSegment(ctx context.Context, v victim) int64 {
	if !v.segment.lock() {
		return 0
	}
	kept := s.keepUsed(ctx, v)
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

// keepUsed appends anew what was used since the segment was full, first what
// is in use right now.
func (s *Store) keepUsed(ctx context.Context, v victim) (kept int64) {
	for _, u := range s.segments.usedIn(v.segment, func(k Key) bool { return s.stays(k, s.now()) }, s.now()) {
		n := recordHeader + int64(u.size)
		if kept+n > v.bytes/keepPart || ctx.Err() != nil {
			break
		}
		data := make([]byte, u.size)
		if _, err := v.segment.file.ReadAt(data, int64(u.offset)); err != nil || sha256.Sum256(data) != u.key {
			continue
		}
		if s.segments.append(u.key, data, time.Unix(int64(u.used), 0), v.segment) != nil {
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

// usedIn are the contents of a segment that are worth a second chance, the best
// first.
func (g *segments) usedIn(s *segment, recent func(Key) bool, now time.Time) (used []usedEntry) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for k, r := range g.index {
		switch e := (entry{k, r.offset, r.size}); {
		case r.segment != s.number:
		case recent(k):
			used = append(used, usedEntry{e, max(r.used, seconds(now))})
		case int64(r.used) > s.written:
			used = append(used, usedEntry{e, r.used})
		}
	}
	slices.SortFunc(used, func(a, b usedEntry) int { return cmp.Compare(b.used, a.used) })
	return used
}
