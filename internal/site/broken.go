package site

import (
	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

// Broken is the site of a version of which no files can be made, and never could:
// a folder that can be seen, and in which all is an error. It spares asking for
// the same again, and tells who looks that the version is there. It is nil unless
// why, which kept the version from being made, is for good.
func (l *Loader) Broken(repo string, d digest.Digest, why error) *Site {
	if !isForGood(why) {
		return nil
	}
	t, _, err := tree.NewBuilder().Freeze(".")
	if err != nil {
		return nil
	}
	s := newSite(l.contents, repo, record{Digest: d, RootDir: "."}, t)
	s.problem = why
	return s
}

// Problem is why nothing that is in the site can be had, or nil. Such a site has
// no files, and is there so that its folder is.
func (s *Site) Problem() error { return s.problem }
