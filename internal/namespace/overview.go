package namespace

import (
	"context"
	"path"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/tree"
)

// What follows is for who wants to know of everything at once. Whoever asks has
// to see to it that the registry is not asked too often.

// Shown is a tag that was looked up.
type Shown struct {
	Repository, Tag string
	Digest          digest.Digest // what the registry says the tag is
	Manifest        digest.Digest // the manifest in it that is the site
	Checked         time.Time     // when the registry last said so; zero: not since the start
}

// Registry is HOST[:PORT] of the registry.
func (l *Live) Registry() string { return l.registry.Host() }

// Key tells apart what is kept of this namespace and of others: another registry
// or another platform, for which a tag may be another site.
func (l *Live) Key() string { return path.Base(l.memoryName()) }

// Allowed tells whether a repository of that name is shown, if there is one.
func (l *Live) Allowed(repo string) bool { return l.names.allowed(repo) }

// Lists tells whether the registry lists its repositories.
func (l *Live) Lists() bool { return l.names.complete(catalogUsable) }

// Repositories are all that are known, sorted: those that the registry lists,
// those given by name, and those looked up. The list of the registry is at most
// as old as a refresh, if it has one and can be reached.
func (l *Live) Repositories(ctx context.Context) []string {
	if !l.names.complete(l.refresh) && l.health.Check() == nil {
		_ = l.readCatalog(ctx) // what is known from before does
	}
	return l.names.all()
}

// HasRepository asks for a repository that may be new. Its errors are those of
// Lookup.
func (l *Live) HasRepository(ctx context.Context, repo string) (bool, error) {
	return l.isRepository(ctx, repo, time.Now().Add(answerBudget))
}

// Shown gives the tags that were looked up, in any order.
func (l *Live) Shown() []Shown {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Shown, 0, len(l.tags))
	for r, t := range l.tags {
		all = append(all, Shown{r.repo, r.tag, t.top, t.chosen, t.checked})
	}
	return all
}

// Head asks what a tag names, by a request that costs no pull quota. Its errors
// are those of Lookup.
func (l *Live) Head(ctx context.Context, repo, tag string) (digest.Digest, error) {
	return asked(ctx, l, repo, "digest of "+tag, func(ctx context.Context) (digest.Digest, error) {
		return l.registry.Head(ctx, repo, tag)
	})
}

// Describe reads the manifest that d, an index or a manifest, leads to, and of
// an image the configuration, which knows when it was made. No layer is read.
// Its errors are those of Lookup.
func (l *Live) Describe(ctx context.Context, repo string, d digest.Digest) (site.Description, error) {
	return asked(ctx, l, repo, "description of "+d.String(), func(ctx context.Context) (site.Description, error) {
		doc, err := l.registry.Manifest(ctx, repo, d.String())
		if err != nil {
			return site.Description{}, err
		}
		return l.loader.Describe(ctx, repo, doc)
	})
}

// Tree is the tree of the site of a manifest. If it is not kept it is read from
// the registry when fetch is set, and is otherwise an fs.ErrNotExist.
func (l *Live) Tree(ctx context.Context, repo string, d digest.Digest, fetch bool) (*tree.Tree, error) {
	s, err := l.loader.Kept(repo, d)
	if err == nil {
		return s.Tree, nil
	}
	if !fetch {
		return nil, err
	}
	return asked(ctx, l, repo, "tree of "+d.String(), func(ctx context.Context) (*tree.Tree, error) {
		doc, err := l.registry.Manifest(ctx, repo, d.String())
		if err != nil {
			return nil, err
		}
		s, err := l.loader.Load(ctx, repo, doc)
		if err != nil {
			return nil, site.Promised(err)
		}
		return s.Tree, nil
	})
}

// asked has a question about something in a repository asked once, however many want
// to know, unless the registry is known to be away.
func asked[T any](ctx context.Context, l *Live, repo, what string, ask func(context.Context) (T, error)) (T, error) {
	v, err := l.loader.Do(ctx, what+" in "+repo, func(ctx context.Context) (any, error) {
		if err := l.health.Check(repo, what); err != nil {
			return nil, err
		}
		v, err := ask(ctx)
		l.health.Note(err, repo, what)
		return v, err
	})
	t, _ := v.(T)
	return t, err
}
