package site

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

// Explanation is what is known of one path in the mount.
type Explanation struct {
	Path   string `json:"path"`
	Is     string `json:"is"`               // see the Is constants
	Reason string `json:"reason,omitempty"` // why it is missing or cannot be read

	// Of the version that the path is in, if it is in one.
	Repository string        `json:"repository,omitempty"`
	Name       string        `json:"name,omitempty"`  // the version's folder in the mount
	Index      digest.Digest `json:"index,omitempty"` // what the tag is in the registry
	Site       digest.Digest `json:"site,omitempty"`  // the manifest that is shown
	Checked    *time.Time    `json:"checked,omitempty"`
	Problem    string        `json:"problem,omitempty"` // of the tag
	Warning    string        `json:"warning,omitempty"` // of the version

	// Of a file.
	Size    int64         `json:"size,omitempty"`
	Target  string        `json:"target,omitempty"`  // of a link
	Content digest.Digest `json:"content,omitempty"` // of a file in one chunk
	Layer   digest.Digest `json:"layer,omitempty"`
	Chunks  int           `json:"chunks,omitempty"`
	Local   int           `json:"local"`          // of these, in the cache
	Cost    *Cost         `json:"cost,omitempty"` // of fetching its first chunk, when it was last fetched
}

// What a path can be.
const (
	IsFolder     = "folder of repositories or versions"
	IsSiteFolder = "folder of a version"
	IsFile       = "file"
	IsLink       = "link"
	IsMissing    = "missing"
	IsUnknown    = "unknown" // the registry could not say
)

// Explain tells what is known of a path below the mountpoint. What is not known
// yet is asked of the registry, as a lookup does.
func (l *Live) Explain(ctx context.Context, p string) Explanation {
	x := Explanation{Path: p, Is: IsFolder}
	dir, rest := "", strings.Trim(path.Clean("/"+p), "/")
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		e, err := l.Lookup(ctx, dir, name)
		switch {
		case err != nil:
			x.fail(err)
			return x
		case e.Site != nil:
			x.Name = path.Join(dir, name)
			l.explainTag(&x, dir, name, e.Site)
			x.explainPath(e.Site, rest)
			return x
		}
		dir = path.Join(dir, name)
	}
	return x
}

func (x *Explanation) fail(err error) {
	x.Is, x.Reason = IsUnknown, err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		x.Is = IsMissing
	}
}

// explainTag adds what is known of the version.
func (l *Live) explainTag(x *Explanation, dir, name string, s *Site) {
	x.Repository, x.Site, x.Warning = s.repo, s.Digest, s.warning
	r := ref{dir, name}
	if i := strings.IndexAny(name, "@:"); i > 0 {
		r = ref{path.Join(dir, name[:i]), name[i+1:]}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tags[r]
	if t == nil {
		return
	}
	status := t.status(r)
	x.Index, x.Checked, x.Problem = status.Digest, status.Checked, status.Problem
}

// explainPath adds what is known of a path in a version.
func (x *Explanation) explainPath(s *Site, p string) {
	n := tree.Root
	for name := range strings.SplitSeq(p, "/") {
		if name == "" {
			continue
		}
		child, ok := s.Tree.Lookup(n, name)
		if !ok {
			x.Is, x.Reason = IsMissing, "the version has no such file"
			return
		}
		n = child
	}
	switch s.Tree.Kind(n) {
	case tree.Dir:
		x.Is = IsSiteFolder
	case tree.Symlink:
		x.Is, x.Target = IsLink, s.Tree.Target(n)
	case tree.File:
		x.explainFile(s, n)
	}
}

func (x *Explanation) explainFile(s *Site, n tree.Node) {
	x.Is, x.Size = IsFile, s.Tree.Size(n)
	first, count := s.Tree.Chunks(n)
	x.Chunks = count
	if count == 0 {
		return
	}
	for i := range uint32(count) {
		if c := s.Tree.Chunk(first + i); s.content.store.Has(c.Digest, c.Size) {
			x.Local++
		}
	}
	c := s.Tree.Chunk(first)
	if count == 1 {
		x.Content = digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(c.Digest[:]))
	}
	x.Layer = s.blob(c.Member)
	if cost, ok := s.content.costs.get(place{x.Layer, s.Tree.Member(c.Member).Offset}); ok {
		x.Cost = &cost
		if cost.Error != "" && x.Local < x.Chunks {
			x.Reason = cost.Error
		}
	}
}
