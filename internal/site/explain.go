package site

import (
	"encoding/hex"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

// Explanation is what is known of one path in a version.
type Explanation struct {
	Is     string `json:"is"`               // see the Is constants
	Reason string `json:"reason,omitempty"` // why it is missing or cannot be read

	// Of the version that the path is in.
	Repository string        `json:"repository,omitempty"`
	Site       digest.Digest `json:"site,omitempty"` // the manifest that is shown
	Warning    string        `json:"warning,omitempty"`

	// Of a file.
	Size    int64         `json:"size,omitempty"`
	Target  string        `json:"target,omitempty"`  // of a link
	Content digest.Digest `json:"content,omitempty"` // of a file in one chunk
	Layer   digest.Digest `json:"layer,omitempty"`
	Chunks  int           `json:"chunks,omitempty"`
	Local   int           `json:"local"`          // of these, in the cache, and seen to be the repository's
	Cost    *Cost         `json:"cost,omitempty"` // of fetching its first chunk, when it was last fetched
}

// What a path in a version can be.
const (
	IsSiteFolder = "folder of a version"
	IsFile       = "file"
	IsLink       = "link"
	IsMissing    = "missing"
)

// Explain tells what is known of a path in the site.
func (s *Site) Explain(p string) Explanation {
	x := Explanation{Repository: s.repo, Site: s.Digest, Warning: s.Warning}
	n := tree.Root
	for name := range strings.SplitSeq(p, "/") {
		if name == "" {
			continue
		}
		child, ok := s.Tree.Lookup(n, name)
		if !ok {
			x.Is, x.Reason = IsMissing, "the version has no such file"
			return x
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
	return x
}

func (x *Explanation) explainFile(s *Site, n tree.Node) {
	x.Is, x.Size = IsFile, s.Tree.Size(n)
	first, count := s.Tree.Chunks(n)
	x.Chunks = count
	if count == 0 {
		return
	}
	for i := range uint32(count) {
		if c := s.Tree.Chunk(first + i); s.shelf.Has(c.Digest, c.Size) {
			x.Local++
		}
	}
	c := s.Tree.Chunk(first)
	if count == 1 {
		x.Content = digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(c.Digest[:]))
	}
	x.Layer = s.blob(c.Member)
	if cost, ok := s.content.costs.get(s.place(c.Member)); ok {
		x.Cost = &cost
		if cost.Error != "" && x.Local < x.Chunks {
			x.Reason = cost.Error
		}
	}
}
