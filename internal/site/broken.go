package site

import (
	"errors"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/tree"
)

// brokenSite is what a tag shows that names something of which no files can be
// made, and never could: a folder that can be seen, and in which all is an
// error. It spares asking for the same again, and tells who looks that the tag
// is there. The error says why, or it is nil.
func (l *loader) brokenSite(repo string, d digest.Digest, why error) *Site {
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

// isForGood tells of an error that the same bytes always give.
func isForGood(err error) bool {
	if !isBad(err) {
		return false
	}
	var m malformed
	return errors.As(err, &m) || errors.Is(err, manifest.ErrUnsupported)
}

// Problem is why nothing that is in the site can be had, or nil. Such a site has
// no files, and is there so that its folder is.
func (s *Site) Problem() error { return s.problem }
