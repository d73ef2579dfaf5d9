package site

import (
	"context"
	"errors"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

// Broken is what a tag shows that names something of which no files can be
// made, and never could: a folder that can be seen, and in which all is an
// error. It spares asking for the same again, and tells who looks that the tag
// is there. The error says why, or it is nil.
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

// isForGood tells of an error that the same bytes always give.
func isForGood(err error) bool {
	if !IsBad(err) {
		return false
	}
	var m malformed
	return errors.As(err, &m) || errors.Is(err, manifest.ErrUnsupported)
}

// IsBad tells what is wrong with a version from what keeps the registry from
// sending it, or us from asking: that may be over at any time.
func IsBad(err error) bool {
	if errors.Is(err, errBroken) {
		return true
	}
	for _, passing := range []error{registry.ErrUnavailable, fs.ErrPermission, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, passing) {
			return false
		}
	}
	return true
}

// Problem is why nothing that is in the site can be had, or nil. Such a site has
// no files, and is there so that its folder is.
func (s *Site) Problem() error { return s.problem }
