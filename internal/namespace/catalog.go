package namespace

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/regfs/regfs/registry"
)

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
	_, err := l.loader.Do(ctx, "catalog", func(ctx context.Context) (any, error) {
		l.names.asking()
		repos, whole, err := l.registry.Repositories(ctx)
		if err != nil {
			return nil, err
		}
		l.names.replace(repos, l.taggedRepositories(), whole && len(repos) < maxRepositories)
		l.markDirty()
		return nil, nil
	})
	return err
}

// taggedRepositories are those of which a tag is shown; a catalog that omits
// them, as some do for want of rights, does not make them vanish, nor does one
// that is longer than the table of names.
func (l *Live) taggedRepositories() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var repos []string
	for r := range l.tags {
		repos = append(repos, r.repo)
	}
	return repos
}

// isRepository asks the registry for a repository that is not known, and waits for
// it until some time.
func (l *Live) isRepository(ctx context.Context, name string, till time.Time) (bool, error) {
	if !l.names.allowed(name) || l.absent.holds(name) {
		return false, nil
	}
	dir, _ := parent(name)
	known := l.names.isRepository(dir)
	v, err := l.inquire(ctx, question{repo: dir, key: "repository " + name, till: till}, func(ctx context.Context) (any, error) {
		if err := l.questions.admit(known); err != nil {
			return false, err
		}
		return l.askRepository(ctx, name)
	})
	if errors.Is(err, ErrBusy) && l.names.complete(l.listedAge()) {
		return false, nil // it is not in the registry's own list
	}
	is, _ := v.(bool)
	return is, err
}

// askRepository asks the registry for a repository, and takes over what it says.
func (l *Live) askRepository(ctx context.Context, name string) (bool, error) {
	is, err := l.registry.HasRepository(ctx, name)
	l.health.Note(err, name)
	switch {
	case err != nil:
		return false, err
	case is && l.names.add(name):
		l.questions.met.vouch(name, l.now())
		l.markDirty()
	case !is:
		l.absent.add(name)
		l.forgetRepository(name)
	}
	return is, nil
}

// confirmSoon asks for a repository again, behind whoever looked it up, when it
// is long since the registry said that it has it.
func (l *Live) confirmSoon(name string) {
	if l.names.stale(name, max(l.refresh, catalogFresh)) {
		l.behind(func() { l.confirm(name) })
	}
}

// confirm asks the registry for a repository that is known.
func (l *Live) confirm(name string) {
	if l.health.Check(name) != nil || !l.checks.take() {
		return
	}
	if _, err := l.askRepository(l.ctx, name); err != nil {
		slog.Debug("repository not confirmed", "event", "check_failed", "repo", name, "err", err)
	}
}

// forgetRepository takes a repository away that the registry does not have any
// more. Its tags, if any are shown, are asked for one by one: each is gone when
// the registry says so.
func (l *Live) forgetRepository(name string) {
	if !l.names.remove(name) {
		return
	}
	l.maybes.refuse(name)
	slog.Info("repository deleted", "event", "repository_deleted", "repo", name)
	l.markDirty()
	l.News(name, "")
	for ; name != "" && !l.names.isFolder(name); name, _ = parent(name) {
		l.tell(parent(name))
	}
}

// readTags lists the tags of a repository, or those that are known of it when
// the registry does not say.
func (l *Live) readTags(ctx context.Context, repo string) ([]string, error) {
	tags, err := l.Tags(ctx, repo)
	if errors.Is(err, registry.ErrUnavailable) {
		return l.knownTags(repo), nil
	}
	return tags, err
}

// Tags lists the tags of a repository. Its errors are those of Lookup, but that
// a repository without tags is none.
func (l *Live) Tags(ctx context.Context, repo string) ([]string, error) {
	tags, err := asked(ctx, l, repo, "tags", func(ctx context.Context) ([]string, error) {
		return l.registry.Tags(ctx, repo)
	})
	if errors.Is(err, fs.ErrNotExist) {
		l.forgetRepository(repo) // some registries say so of one without tags
		err = nil
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
