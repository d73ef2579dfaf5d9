package site

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/tree"
)

// A version lists digests, for which its manifest vouches. That its layers hold
// what those name is seen only where the bytes come out of them: a table of
// contents can name what is in another repository, and only there. So the store
// may have all contents of a site, and the site has those alone that came, and
// were verified, from a layer of its repository: those on the repository's shelf.
// All in this package that is about contents of sites goes through it.

// shelf is that of a repository. Repositories of different registries that share
// a store are different ones.
func (c *contents) shelf(repo string) cache.Shelf {
	return c.store.Shelf("repository " + c.registry.Host() + " " + repo)
}

// Repository is the name of the repository that holds the site. Between
// repositories nothing may be shared that has not been seen to be in both.
func (s *Site) Repository() string { return s.repo }

// RepositoryHash is a part of a cryptographic hash of that name, for who makes many
// ids that are to differ between repositories.
func (s *Site) RepositoryHash() uint64 { return s.repoHash }

func hashRepository(repo string) uint64 {
	sum := sha256.Sum256([]byte("repository " + repo))
	return binary.LittleEndian.Uint64(sum[:])
}

// isProved tells whether all bytes of file n have come from the site's repository
// before, be they here now or not.
func (s *Site) isProved(n tree.Node) bool {
	first, count := s.Tree.Chunks(n)
	for i := range uint32(count) {
		if !s.shelf.Marked(s.Tree.Chunk(first + i).Digest) {
			return false
		}
	}
	return true
}
