package site

import (
	"sync"

	"github.com/regfs/regfs/internal/tree"
)

// What is fetched before anybody asks for it. Sizes are bytes of the blob.
const (
	// wholeBlob is up to which size a layer of which much is missing is fetched
	// by one GET: below it, the round trips of single ranges cost more than the
	// bytes they save.
	wholeBlob = 16 << 20
	// inUse is how many fetches on demand make a version one that is in use, of
	// which the rest is fetched behind. A page with its assets takes a handful,
	// somebody who reads about a handful of pages more.
	inUse = 16
	// largeMember is from which size a member is only fetched when it is asked
	// for: it is a piece of a video or an archive.
	largeMember = 1 << 20
	// completePart is the part of the store that one version may take up before
	// anybody asked for it.
	completePart = 4
)

// plan is how the content of one layer is fetched.
type plan struct {
	first, count uint32 // its members in the tree
	decide       sync.Once
	whole        bool // by one GET of the blob

	mu      sync.Mutex
	last    uint32 // the member that was read last
	steps   int    // how many were read in a row before it
	ahead   uint32 // the member up to which it has been fetched ahead
	windows int    // requests under way that nobody asked for yet
	turn    turn   // of the latest of them
}

// planOf decides, once, how the layer's content is fetched: by one GET if it is
// small and half of it or more is missing. A layer without a table of contents
// is one member, which is the same thing.
func (s *Site) planOf(layer int) *plan {
	p := &s.plans[layer]
	p.decide.Do(func() {
		size := s.layers[layer].Size
		if size > s.content.wholeBlob {
			return
		}
		var missing int64
		for i := p.first; i < p.first+p.count; i++ {
			if m := s.Tree.Member(i); !s.isLocal(m) {
				missing += m.Size
			}
		}
		p.whole = missing >= size/2
	})
	return p
}

// isLocal tells whether all chunks of a member are here.
func (s *Site) isLocal(m tree.Member) bool {
	for i := m.First; i < m.First+m.Count; i++ {
		if c := s.Tree.Chunk(i); !s.shelf.Has(c.Digest, c.Size) {
			return false
		}
	}
	return true
}

// isLarge tells of a member that nobody is likely to want but who asks for it.
func (s *Site) isLarge(m tree.Member) bool {
	return m.Size > largeMember || m.Count > 0 && s.Tree.Chunk(m.First).Offset > 0
}

// fetchMissing makes runs of the members from..to-1 that are neither here nor
// large nor under way, and hands them to do, one after another, until it fails.
func (s *Site) fetchMissing(from, to uint32, do func(*run) error) {
	for from < to {
		end, size := from, int64(0)
		for end < to && size < lastWindow && s.wanted(end, from) {
			size += s.Tree.Member(end).Size
			end++
		}
		if end == from {
			from++
			continue
		}
		r := newRun(s, s.Tree.Member(from).Layer, from)
		s.content.fetches.register(r, end)
		if s.trim(r); len(r.calls) > 0 && do(r) != nil {
			return
		}
		from = end
	}
}

// wanted tells whether a member belongs into a run that begins with another.
func (s *Site) wanted(number, first uint32) bool {
	m := s.Tree.Member(number)
	return m.Layer == s.Tree.Member(first).Layer && !s.isLarge(m) && s.content.fetches.find(s, number) == nil && !s.isLocal(m)
}

// trim leaves out the members at both ends that somebody else fetches.
func (s *Site) trim(r *run) {
	for len(r.calls) > 0 && r.calls[0] == nil {
		r.calls, r.first = r.calls[1:], r.first+1
	}
	for len(r.calls) > 0 && r.calls[len(r.calls)-1] == nil {
		r.calls = r.calls[:len(r.calls)-1]
	}
}

// used counts a fetch that somebody waits for. When there were enough of them,
// the rest of the version is fetched behind: one request at a time, small files
// only, and not if it were much of the store.
func (s *Site) used() {
	if s.demands.Add(1) != inUse {
		return
	}
	var missing int64
	members := uint32(s.Tree.Members())
	for i := range members {
		if m := s.Tree.Member(i); !s.isLarge(m) && !s.isLocal(m) {
			missing += m.Size
		}
	}
	if missing > s.content.store.Stats().Limit/completePart {
		return
	}
	go s.fetchMissing(0, members, func(r *run) error {
		r.do()
		if err := s.content.fetches.ctx.Err(); err != nil {
			return err
		}
		return r.check()
	})
}
