package site

import (
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/rules"
	"github.com/regfs/regfs/internal/tree"
)

// Site is one version of a website as one repository holds it. It never
// changes.
type Site struct {
	Digest   digest.Digest // of its manifest
	Tree     *tree.Tree
	Settings manifest.Settings // how it wants to be served
	Warning  string            // what is odd about it, for people

	repo     string      // whose blobs hold its content
	repoHash uint64      // see RepositoryHash
	shelf    cache.Shelf // has what has come from there
	layers   []manifest.Descriptor
	content  *contents
	plans    []plan       // one for each layer
	demands  atomic.Int32 // fetches that somebody waited for
	problem  error        // why it has no files, see Problem
	past     *pasts       // what was in its place before; nil for nothing
	isKept   atomic.Bool  // the store has its tree

	rulesOnce sync.Once
	rules     *rules.Set
	movedOnce sync.Once
	moved     *moved
}

// IsKept tells whether the store has the site's tree, so that whoever lets go of
// it can have it again, without the registry.
func (s *Site) IsKept() bool { return s.isKept.Load() }

// newSite ties a tree to the repository from which its content can be read.
func newSite(c *contents, repo string, r record, t *tree.Tree) *Site {
	s := &Site{
		Digest: r.Digest, Tree: t, Settings: r.Settings, repo: repo, repoHash: hashRepository(repo), layers: r.Layers,
		shelf: c.shelf(repo), content: c, plans: make([]plan, len(r.Layers)), Warning: r.Warning,
	}
	s.spanMembers()
	return s
}

// spanMembers notes which members of the tree lie in which layer; they are
// ordered by layer.
func (s *Site) spanMembers() {
	for i := range uint32(s.Tree.Members()) {
		p := &s.plans[s.Tree.Member(i).Layer]
		if p.count++; p.count == 1 {
			p.first = i
		}
	}
}
