package site

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

const (
	// maxPast bounds how many versions a tag remembers that it named before. A tag
	// that moves oftener than this in a day has visitors who stay for less.
	maxPast = 10
	// pastIdle is how long the trees of past versions are held after somebody
	// wanted a file of them.
	pastIdle = time.Minute
)

// past is a version that a tag named before.
type past struct {
	chosen digest.Digest
	till   time.Time // its assets are kept until then
}

// remember puts what a tag named until now in front of what it named before. A
// version is in the list once, and what is too old, or is shown now, is not.
func remember(list []past, left past, shown digest.Digest, now time.Time) []past {
	next := []past{left}
	for _, p := range list {
		if p.chosen != left.chosen {
			next = append(next, p)
		}
	}
	next = slices.DeleteFunc(next, func(p past) bool { return p.chosen == shown || !now.Before(p.till) })
	return next[:min(len(next), maxPast)]
}

// pasts are the versions that a tag named before the one that has them. They are
// loaded when somebody wants a file of them.
type pasts struct {
	loader *loader
	repo   string
	list   []past // the last one first
	now    func() time.Time

	mu    sync.Mutex
	sites map[digest.Digest]*Site
	drop  *time.Timer // lets go of sites; nil while there are none
}

// withPast gives a site that a tag is about to show the versions that it shows the
// assets of.
func (l *Live) withPast(r ref, s *Site, list []past) *Site {
	if len(list) > 0 {
		s.past = &pasts{loader: l.loader, repo: r.repo, list: list, now: l.now, sites: map[digest.Digest]*Site{}}
	}
	return s
}

// Asset is a file of a version that a tag named before.
type Asset struct {
	Site *Site
	Node tree.Node
	Till time.Time // it is there until then
}

// MayHaveAsset tells whether it is worth asking for an Asset of that name.
func (s *Site) MayHaveAsset(name string) bool { return s.past != nil && isFingerprinted(name) }

// Asset finds the file called name in folder dir, in which the site has nothing of
// that name, among the versions that the same tag named before: pages that
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
		if !s.past.now().Before(p.till) {
			continue
		}
		old, err := s.past.site(ctx, p.chosen)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // the registry may have it still
				unknown = err
			}
			continue
		}
		if n, ok := old.Tree.Walk(tree.Root, file, true); ok && old.Tree.Kind(n) == tree.File {
			return Asset{old, n, p.till}, nil
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
		if s, err := p.loader.kept(p.repo, d); err == nil {
			return s, nil
		}
		if err := p.loader.health.check(); err != nil {
			return nil, err
		}
		doc, err := p.loader.registry.Manifest(ctx, p.repo, d.String())
		p.loader.health.note(err)
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
