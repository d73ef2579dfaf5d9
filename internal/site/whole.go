package site

import (
	"context"
	"errors"

	"github.com/regfs/regfs/internal/cache"
)

// What follows is for who wants a site as a whole, whether anybody reads it or
// not.

// Keys are the names of all contents of a site and of the marks that say that they
// are its repository's, as the store has them.
func (s *Site) Keys(yield func(cache.Key) bool) {
	for i := range uint32(s.Tree.Members()) {
		m := s.Tree.Member(i)
		for c := m.First; c < m.First+m.Count; c++ {
			if k := s.Tree.Chunk(c).Digest; !yield(k) || !yield(s.shelf.Mark(k)) {
				return
			}
		}
	}
}

// Missing is how many bytes of a site's contents are not kept here.
func (s *Site) Missing() (bytes int64) {
	for i := range uint32(s.Tree.Members()) {
		m := s.Tree.Member(i)
		for c := m.First; c < m.First+m.Count; c++ {
			if chunk := s.Tree.Chunk(c); !s.shelf.Kept(chunk.Digest, chunk.Size) {
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
		err = errors.Join(ctx.Err(), r.check())
		return err
	})
	for i := uint32(0); i < members && err == nil; i++ {
		if !s.isLocal(s.Tree.Member(i)) {
			err = s.fetch(ctx, i)
		}
	}
	return err
}
