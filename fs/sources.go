package fs

import (
	"context"
	"errors"
	"io"
	"weak"

	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/tree"
)

const (
	// maxSources is in how many more versions than the last a file is remembered:
	// all of a handful that are in use may be gone from a registry but one.
	maxSources = 3
	// maxShared bounds the files of which more than one version is remembered, some
	// 100 bytes each. One that makes way is read as if there were no others.
	maxShared = 20_000
)

// source is a file of a version that was looked up before the last one. Versions
// that nobody uses any more are not kept for its sake.
type source struct {
	site weak.Pointer[site.Site]
	node tree.Node
}

// sources are other versions, the latest first, that have a file which the kernel
// was told of.
type sources map[nodeID][]source

// note remembers the version that old is of.
func (s sources) note(id nodeID, old inode) {
	before := s[id]
	pointer := weak.Make(old.site)
	for _, o := range before {
		if o.site == pointer {
			return
		}
	}
	if len(before) == 0 && len(s) >= maxShared {
		for other := range s { // any
			delete(s, other)
			break
		}
	}
	all := append([]source{{pointer, old.node}}, before...)
	s[id] = all[:min(len(all), maxSources)]
}

// readElsewhere reads from the layer of another version what that of the last one
// does not give: it may be gone from the registry, damaged, or not for us to read any
// more, and the kernel, for which the file is one, would not ask for its name again.
// The error is why the last one does not.
func (f *FS) readElsewhere(ctx context.Context, id nodeID, p []byte, off int64, why error) (int, error) {
	for _, o := range f.inodes.elsewhere(id) {
		s := o.site.Value()
		if s == nil {
			continue
		}
		n, err := s.ReadAt(ctx, o.node, p, off)
		if err == nil || errors.Is(err, io.EOF) {
			f.inodes.prefer(id, s, o.node)
			return n, nil
		}
	}
	return 0, why
}
