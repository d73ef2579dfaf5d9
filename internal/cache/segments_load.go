package cache

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
)

// scanAtOnce is how many bytes of segments without an index Open looks through
// before it returns: what one killed process leaves, as a rule, and some tens
// of milliseconds. The rest waits for the first walk.
const scanAtOnce = 2 * segmentMax

// refresh finds out what other processes, and earlier ones, have done: new
// segments, those that grew, and those that are gone. At most budget bytes are
// looked through for what no index tells.
func (g *segments) refresh(ctx context.Context, budget int64) {
	fresh := g.discover(g.names())
	slices.SortFunc(fresh, func(a, b *segment) int { return int(b.written - a.written) })
	for _, s := range fresh { // the newest first: it has the best copy
		entries, end := g.dir.readIndex(s)
		g.add(s, entries, end)
	}
	for _, s := range g.all() {
		size, ok := s.stat()
		if !ok {
			g.drop(s)
			continue
		}
		if ctx.Err() == nil && budget > 0 {
			before := g.endOf(s)
			g.scan(s, size)
			budget -= size - before
			g.heal(s, g.endOf(s)-before)
		}
	}
}

// names are the segments in the folder. An index without a segment goes: the
// segment is always made first. Where the folder cannot be read nothing is new.
func (g *segments) names() (names []string) {
	d, err := g.dir.root.Open(segmentsDir)
	if err != nil {
		return nil
	}
	defer d.Close()
	files, err := d.Readdirnames(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	for _, file := range files {
		switch {
		case segmentName(file, segmentSuffix):
			names = append(names, file)
		case segmentName(file, indexSuffix) && !slices.Contains(files, strings.TrimSuffix(file, indexSuffix)+segmentSuffix):
			_ = g.dir.root.Remove(segmentsDir + "/" + file)
		}
	}
	return names
}

// discover opens the segments that are not known yet. What cannot be opened
// now is tried again by the next walk.
func (g *segments) discover(names []string) (fresh []*segment) {
	g.write.Lock() // so that no new one of our own is taken for another's
	defer g.write.Unlock()
	known := map[string]bool{}
	for _, s := range g.all() {
		known[s.name] = true
	}
	for _, name := range names {
		if known[name] {
			continue
		}
		if s, err := g.dir.openSegment(name); err == nil && g.insert(s) == nil {
			fresh = append(fresh, s)
		}
	}
	return fresh
}

// drop forgets a segment whose file has no name any more.
func (g *segments) drop(s *segment) (contents int64) {
	g.write.Lock()
	defer g.write.Unlock()
	if g.current == s {
		g.current = nil
	}
	return g.remove(s)
}

func (g *segments) endOf(s *segment) int64 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return s.end
}

func (g *segments) sizeOf(s *segment) int64 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return s.size
}

// heal gives a segment that nobody appends to the index that it lacks, if it
// took long to do without.
func (g *segments) heal(s *segment, scanned int64) {
	if scanned < g.max/2 || !s.lock() {
		return
	}
	g.saveIndex(s, g.entriesOf(s.number), g.endOf(s))
	s.unlock()
}

// scan adds the records behind those that are known, in a file of size bytes.
func (g *segments) scan(s *segment, size int64) {
	from := g.endOf(s)
	if size <= from {
		return
	}
	entries, end := scan(s.file, from, size)
	g.add(s, entries, end)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byNumber[s.number] == s && !s.own {
		g.grow(s, size)
	}
}

// add notes the records of a segment up to end. A content that is known from
// another segment stays where it is.
func (g *segments) add(s *segment, entries []entry, end int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byNumber[s.number] != s || s.own || end <= s.end {
		return
	}
	for _, e := range entries {
		if int64(e.offset) < s.end {
			continue
		}
		at, ok := g.index[e.key]
		if !ok || at.segment == s.number && at.offset < e.offset {
			g.put(e.key, record{s.number, e.offset, e.size, s.usedAtMost(e)})
		}
	}
	s.end = end
	s.touched = max(s.touched, s.written)
}

// usedAtMost is when a record was used that another process wrote: contents when
// the segment was changed, as far as anybody knows. That a mark must not go before
// its content, which may lie elsewhere, and changes are noted now and then.
func (s *segment) usedAtMost(e entry) uint32 {
	used := time.Unix(max(0, s.written), 0)
	if e.size == 0 {
		used = used.Add(touchInterval)
	}
	return seconds(used)
}
