package site

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regfs/regfs/registry"
)

const (
	// minUsed is for how long at least after somebody looked a tag is kept up
	// to date; tags that nobody looks at cost no requests.
	minUsed = 30 * time.Second
	// idleAfter is for how long after somebody looked a site's tree is held in
	// memory. Then it is loaded again when it is wanted, which takes some
	// milliseconds.
	idleAfter = 10 * time.Minute
	// checksAtOnce bounds the requests that following tags takes up.
	checksAtOnce = 8
	// minTick keeps a short refresh from becoming a busy loop.
	minTick = 20 * time.Millisecond
)

// follow keeps the tags in use fresh, so that a lookup finds the answer and
// need not wait for it. The kernel asks for a tag in use once per refresh,
// which is how it is known to be in use.
func (l *Live) follow(ctx context.Context) {
	tick := time.NewTicker(max(l.refresh/4, minTick))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.dropIdle()
			l.checkUsed(ctx)
		}
	}
}

// dropIdle lets go of the trees of sites that nobody looked at for a while. The
// kernel may know files of them; those hold on to theirs.
func (l *Live) dropIdle() {
	idle := func(s *Site, used time.Time) bool {
		return s != nil && s.isKept.Load() && l.now().Sub(used) > idleAfter
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.tags {
		if idle(t.site, t.used) {
			t.site = nil
		}
	}
	for _, f := range l.fixed {
		if idle(f.site, f.used) {
			f.site = nil
		}
	}
}

func (l *Live) checkUsed(ctx context.Context) {
	var group errgroup.Group
	group.SetLimit(checksAtOnce)
	for _, r := range l.due() {
		group.Go(func() error {
			_, err := l.flight(ctx, "check of", r, l.check)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
				slog.Debug("tag not checked", "event", "check_failed", "repo", r.repo, "tag", r.tag, "err", err)
			}
			return nil
		})
	}
	_ = group.Wait() // none of them fails
}

// due are the tags in use whose answer is about to be too old.
func (l *Live) due() []ref {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	var due []ref
	for r, t := range l.tags {
		if l.followed(t, now) && now.Sub(t.checked) >= l.refresh*3/4 && now.Sub(t.tried) >= min(l.refresh*3/4, restAfterFailure) {
			due = append(due, r)
		}
	}
	return due
}

// followed tells whether a tag is in use, so that due comes by it. Whoever looks
// first after a pause, or after a start, is not served by that.
func (l *Live) followed(t *tag, now time.Time) bool {
	return t.site != nil && !t.tried.IsZero() && now.Sub(t.used) < max(3*l.refresh, minUsed)
}

// followCatalog reads the list of repositories at the start, and again from time
// to time while somebody wants it.
func (l *Live) followCatalog(ctx context.Context) {
	tick := time.NewTicker(max(min(l.refresh, catalogFresh)/4, minTick))
	defer tick.Stop()
	level := slog.LevelInfo // the first time; many registries never list
	listed := sync.OnceFunc(func() { close(l.listed) })
	for {
		if err := l.readCatalog(ctx); err != nil && ctx.Err() == nil {
			slog.Log(ctx, level, "the registry does not list its repositories", "event", "no_catalog", "err", err)
			level = slog.LevelDebug
		}
		listed()
		for !l.names.due(l.refresh) {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
}

// readCatalog asks the registry for all its repositories. Registries need not
// be able to say, so nothing depends on it.
func (l *Live) readCatalog(ctx context.Context) error {
	_, err := l.loader.flights.do(ctx, "catalog", func(ctx context.Context) (any, error) {
		l.names.asking()
		repos, err := l.registry.Repositories(ctx)
		if err != nil {
			return nil, err
		}
		l.names.replace(slices.Concat(repos, l.taggedRepositories()))
		l.markDirty()
		return nil, nil
	})
	return err
}

// taggedRepositories are those of which a tag is shown; a catalog that omits
// them, as some do for want of rights, does not make them vanish.
func (l *Live) taggedRepositories() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var repos []string
	for r := range l.tags {
		repos = append(repos, r.repo)
	}
	return repos
}

// isRepository asks the registry for a repository that is not known.
func (l *Live) isRepository(ctx context.Context, name string) (bool, error) {
	if !l.names.allowed(name) || l.absent.holds(name) {
		return false, nil
	}
	v, err := l.loader.flights.do(ctx, "repository "+name, func(ctx context.Context) (any, error) {
		if err := l.loader.health.check(); err != nil {
			return false, err
		}
		is, err := l.registry.HasRepository(ctx, name)
		l.loader.health.note(err)
		switch {
		case err != nil:
			return false, err
		case is && l.names.add(name):
			l.markDirty()
		case !is:
			l.absent.add(name)
		}
		return is, nil
	})
	is, _ := v.(bool)
	return is, err
}

// readTags lists the tags of a repository, or those that are known of it when
// the registry does not say.
func (l *Live) readTags(ctx context.Context, repo string) ([]string, error) {
	v, err := l.loader.flights.do(ctx, "tags of "+repo, func(ctx context.Context) (any, error) {
		if err := l.loader.health.check(); err != nil {
			return nil, err
		}
		tags, err := l.registry.Tags(ctx, repo)
		l.loader.health.note(err)
		return tags, err
	})
	if errors.Is(err, registry.ErrUnavailable) {
		return l.knownTags(repo), nil
	}
	tags, _ := v.([]string)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // registries say so of a repository without tags
	}
	return tags, err
}

func (l *Live) knownTags(repo string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var tags []string
	for r := range l.tags {
		if r.repo == repo {
			tags = append(tags, r.tag)
		}
	}
	return tags
}
