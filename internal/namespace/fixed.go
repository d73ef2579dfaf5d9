package namespace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/registry"
)

// maxFixed bounds how many sites are remembered by digest; the one not looked
// at for longest makes way, and is resolved again when it is asked for.
const maxFixed = 1000

// fixedSite is a site that was looked up by digest. Live.mu guards it.
type fixedSite struct {
	chosen digest.Digest
	site   *site.Site // nil until somebody looks, after a restart
	used   time.Time
}

// lookupDigest finds the site of a manifest or index. Once found it is not
// asked for again: a digest means the same for ever.
func (l *Live) lookupDigest(ctx context.Context, p pin) (*site.Site, error) {
	if !l.names.allowed(p.repo) {
		return nil, fmt.Errorf("%s is no name of a repository: %w", p.repo, fs.ErrNotExist)
	}
	if s := l.fixedSite(p); s != nil {
		return s, nil
	}
	key := p.repo + "@" + p.digest.String()
	if l.absent.holds(key) {
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	known := l.names.isRepository(p.repo)
	v, err := l.inquire(ctx, question{repo: p.repo, key: key}, func(ctx context.Context) (any, error) {
		if err := l.questions.admit(known); err != nil {
			return nil, err
		}
		s, err := l.fetchDigest(ctx, p, key)
		l.health.Note(err, p.repo, p.digest.String())
		return s, err
	})
	s, _ := v.(*site.Site)
	return s, err
}

func (l *Live) fixedSite(p pin) *site.Site {
	l.mu.Lock()
	f := l.fixed[p]
	if f == nil {
		l.mu.Unlock()
		return nil
	}
	f.used = l.now()
	s, chosen := f.site, f.chosen
	l.mu.Unlock()
	if s != nil {
		return s
	}
	s, err := l.loader.Kept(p.repo, chosen)
	if err != nil {
		return nil
	}
	l.mu.Lock()
	f.site = s
	l.mu.Unlock()
	return s
}

func (l *Live) fetchDigest(ctx context.Context, p pin, key string) (*site.Site, error) {
	doc, err := l.registry.Manifest(ctx, p.repo, p.digest.String())
	if errors.Is(err, fs.ErrNotExist) {
		l.absent.add(key)
	}
	if err != nil {
		return nil, err
	}
	s, err := l.loader.Load(ctx, p.repo, registry.Manifest{MediaType: doc.MediaType, Digest: p.digest, Bytes: doc.Bytes})
	if err != nil {
		slog.Error("a version cannot be shown", "event", "bad_version", "repo", p.repo, "digest", p.digest, "err", err)
		if s = l.loader.Broken(p.repo, p.digest, err); s == nil {
			return nil, site.Promised(err)
		}
	}
	l.names.add(p.repo)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropOldestFixed()
	l.fixed[p] = &fixedSite{chosen: s.Digest, site: s, used: l.now()}
	l.markDirtyLocked()
	return s, nil
}

func (l *Live) dropOldestFixed() {
	if len(l.fixed) < maxFixed {
		return
	}
	var oldest pin
	for p, f := range l.fixed {
		if o := l.fixed[oldest]; o == nil || f.used.Before(o.used) {
			oldest = p
		}
	}
	delete(l.fixed, oldest)
}
