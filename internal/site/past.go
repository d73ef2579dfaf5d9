package site

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

// pastIdle is how long the trees of past versions are held after somebody
// wanted a file of them.
const pastIdle = time.Minute

// Past is a version that was in a site's place before it.
type Past struct {
	Manifest digest.Digest
	Till     time.Time // its assets are kept until then
}

// pasts are the versions that were in the place of the one that has them. They
// are loaded when somebody wants a file of them.
type pasts struct {
	loader *Loader
	repo   string
	list   []Past // the last one first
	now    func() time.Time

	mu    sync.Mutex
	sites map[digest.Digest]*Site
	drop  *time.Timer // lets go of sites; nil while there are none
}

// WithPast gives a site, which nobody else has yet, the versions that it shows the
// assets of, the last one first.
func (l *Loader) WithPast(s *Site, list []Past) *Site {
	if len(list) > 0 {
		s.past = &pasts{loader: l, repo: s.repo, list: list, now: time.Now, sites: map[digest.Digest]*Site{}}
	}
	return s
}

// Asset is a file of a version that was in a site's place before it.
type Asset struct {
	Site *Site
	Node tree.Node
	Till time.Time // it is there until then
}

// MayHaveAsset tells whether it is worth asking for an Asset of that name.
func (s *Site) MayHaveAsset(name string) bool { return s.past != nil && isFingerprinted(name) }

// Asset finds the file called name in folder dir, in which the site has nothing of
// that name, among the versions that were in its place before: pages that
// visitors have open still ask for them. Only names that look as if they had a
// hash of their content are found, and no pages. None is fs.ErrNotExist, and then
// there never will be one; the other errors are those of lookups.
func (s *Site) Asset(ctx context.Context, dir tree.Node, name string) (Asset, error) {
	if !s.MayHaveAsset(name) {
		return Asset{}, fs.ErrNotExist
	}
	file := path.Join(s.Tree.Path(dir), name)
	var unknown error
	for _, p := range s.past.list {
		if !s.past.now().Before(p.Till) {
			continue
		}
		old, err := s.past.site(ctx, p.Manifest)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // the registry may have it still
				unknown = err
			}
			continue
		}
		if n, ok := old.Tree.Walk(tree.Root, file, true); ok && old.Tree.Kind(n) == tree.File {
			return Asset{old, n, p.Till}, nil
		}
	}
	if unknown != nil {
		return Asset{}, unknown
	}
	return Asset{}, fs.ErrNotExist
}

// site is one of the versions. Its tree is most often kept; else the registry is
// asked for its manifest.
func (p *pasts) site(ctx context.Context, d digest.Digest) (*Site, error) {
	p.mu.Lock()
	s := p.sites[d]
	p.holdLocked()
	p.mu.Unlock()
	if s != nil {
		return s, nil
	}
	v, err := p.loader.flights.do(ctx, "past "+p.repo+"@"+d.String(), func(ctx context.Context) (any, error) {
		if s, err := p.loader.Kept(p.repo, d); err == nil {
			return s, nil
		}
		if err := p.loader.health.Check(p.repo, d.String()); err != nil {
			return nil, err
		}
		doc, err := p.loader.registry.Manifest(ctx, p.repo, d.String())
		p.loader.health.Note(err, p.repo, d.String())
		if err != nil {
			return nil, err
		}
		return p.loader.site(ctx, p.repo, doc)
	})
	if err != nil {
		return nil, err
	}
	s, _ = v.(*Site)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sites[d] = s
	return s, nil
}

// holdLocked has the trees held for some more time; mu is held.
func (p *pasts) holdLocked() {
	if p.drop != nil {
		p.drop.Reset(pastIdle)
		return
	}
	p.drop = time.AfterFunc(pastIdle, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		clear(p.sites)
	})
}
