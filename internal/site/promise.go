package site

import (
	"context"
	"fmt"
	"io/fs"

	"golang.org/x/sync/errgroup"
)

// promisesAtOnce bounds how many layers of one version are asked for at once.
const promisesAtOnce = 4

// Promise makes sure that the site can be served: the registry has each of its
// layers, or we have all that is in it. It reads none of them.
func (s *Site) Promise(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(promisesAtOnce)
	for i, d := range s.layers {
		if s.isLayerLocal(i) {
			continue
		}
		group.Go(func() error {
			there, err := s.content.registry.HasBlob(ctx, s.repo, d.Digest, d.Size)
			if err == nil && !there {
				err = fmt.Errorf("layer %s of %s: %w", d.Digest, s.repo, fs.ErrNotExist)
			}
			return err
		})
	}
	return group.Wait()
}

func (s *Site) isLayerLocal(layer int) bool {
	p := &s.plans[layer]
	for i := p.first; i < p.first+p.count; i++ {
		if !s.isLocal(s.Tree.Member(i)) {
			return false
		}
	}
	return true
}
