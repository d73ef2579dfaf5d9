package site

import (
	"context"
	"errors"

	"github.com/regfs/regfs/internal/cache"
)

// What follows is for who wants a site as a whole, whether anybody reads it or
// not.

// Keys are the names of all contents of a site, as the store has them.
func (s *Site) Keys(yield func(cache.Key) bool) {
	for i := range uint32(s.Tree.Members()) {
		m := s.Tree.Member(i)
		for c := m.First; c < m.First+m.Count; c++ {
			if !yield(s.Tree.Chunk(c).Digest) {
				return
			}
		}
	}
}

// Missing is how many bytes of a site's contents are not in the store.
func (s *Site) Missing() (bytes int64) {
	for i := range uint32(s.Tree.Members()) {
		m := s.Tree.Member(i)
		for c := m.First; c < m.First+m.Count; c++ {
			if chunk := s.Tree.Chunk(c); !s.content.store.Kept(chunk.Digest, chunk.Size) {
				bytes += chunk.Size
			}
		}
	}
	return bytes
}

// Complete fetches all of a site that is not here, one request at a time: small
// files in long rows first, then the large ones.
func (s *Site) Complete(ctx context.Context) error {
	members := uint32(s.Tree.Members())
	var err error
	s.fetchMissing(0, members, func(r *run) error {
		r.do()
		err = errors.Join(ctx.Err(), s.content.health.Check())
		return err
	})
	for i := uint32(0); i < members && err == nil; i++ {
		if !s.isLocal(s.Tree.Member(i)) {
			err = s.fetch(ctx, i)
		}
	}
	return err
}
