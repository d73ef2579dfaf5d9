package front

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/compare"
	"github.com/regfs/regfs/internal/site"
)

const (
	// requestsAtOnce is how many requests are under way at once: the budget
	// says how many there are in all.
	requestsAtOnce = 8
	// minRound is how long a round may take, however short a refresh is; what is
	// left over comes in the next one.
	minRound = 10 * time.Second
	// failureRest is how long a version that cannot be described is left alone.
	failureRest = time.Minute
	// unresolvedRest is how long a tag that could not be resolved is left alone:
	// registries list new ones a moment before they can be asked for.
	unresolvedRest = 10 * time.Second
	// newsPause is the pause between two rounds while there is news.
	newsPause = 200 * time.Millisecond
	// saveEvery is how often what is known is kept at most, while it changes.
	saveEvery = 10 * time.Second
)

// gather looks at all repositories and tags, a round at a time, while somebody
// wants to know.
func (f *Front) gather(ctx context.Context) {
	saved := f.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		begin := f.now()
		f.round(ctx)
		if f.now().Sub(saved) >= saveEvery {
			f.save()
			saved = f.now()
		}
		if len(f.index.unresolved(f.now())) > 0 {
			continue // there is more to do, if somebody still looks
		}
		pause := f.refresh - f.now().Sub(begin)
		switch {
		case f.index.hasNews(f.now()):
			pause = min(pause, newsPause)
		case !f.index.isWhole():
			pause = min(pause, f.index.rest())
		}
		select {
		case <-ctx.Done():
			return
		case <-f.news:
		case <-time.After(pause):
		}
	}
}

// round looks at everything once, as far as it comes: at names, at new tags, at
// new versions and at what may have moved, for a fourth of its time each. What
// was not looked at for longest comes first.
func (f *Front) round(ctx context.Context) {
	part := max(minRound, f.refresh) / 4
	within(ctx, part, f.list)
	select {
	case <-f.first:
	default:
		close(f.first)
	}
	f.absorb()
	within(ctx, part, func(ctx context.Context) { f.resolve(ctx, f.index.unresolved(f.now())) })
	within(ctx, part, f.describe)
	within(ctx, part, func(ctx context.Context) { f.resolve(ctx, f.index.stale(f.now())) })
	f.count(ctx)
	f.index.prune()
}

// within gives a part of a round its time.
func within(ctx context.Context, limit time.Duration, do func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	do(ctx)
}

// rate is how many requests a second the registry is asked.
func (f *Front) rate() int {
	if f.source.Lists() {
		return ownRate
	}
	return publicRate
}

// each does something that costs one request for each of all, several at once,
// until ctx ends. One that fails keeps nothing from the others; while the
// registry is away the source says so at once.
func each[T any](ctx context.Context, f *Front, all []T, do func(context.Context, T) error) {
	var group sync.WaitGroup
	slots := make(chan struct{}, requestsAtOnce)
	var answers, failures atomic.Int32
	rate := f.rate()
	for _, one := range all {
		if f.budget.enter(ctx, rate) != nil {
			break
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			switch err := do(ctx, one); {
			case ctx.Err() != nil: // it says nothing
			case site.Unavailable(err):
				failures.Add(1)
			default:
				answers.Add(1)
			}
		})
	}
	group.Wait()
	switch {
	case answers.Load() > 0:
		f.index.setProblem("", "")
	case failures.Load() > 0:
		f.index.setProblem("", "the registry cannot be reached")
	}
}

// list takes the names of all repositories and tags.
func (f *Front) list(ctx context.Context) {
	each(ctx, f, f.index.unknown(f.now()), func(ctx context.Context, repo string) error {
		_, err := f.source.HasRepository(ctx, repo)
		return err
	})
	f.index.setRepositories(f.source.Repositories(ctx), f.source.Lists())
	each(ctx, f, f.index.unlisted(f.now()), func(ctx context.Context, repo string) error {
		tags, err := f.source.Tags(ctx, repo)
		switch {
		case err == nil:
			f.index.setTags(repo, tags, f.now())
		case errors.Is(err, fs.ErrPermission):
			f.index.notListed(repo, "the registry does not let its tags be listed", f.now())
		case ctx.Err() == nil:
			f.index.notListed(repo, "the registry does not say which tags it has", f.now())
		}
		return err
	})
}

// absorb takes over what is known of the tags that are followed anyway.
func (f *Front) absorb() {
	now := f.now()
	for _, s := range f.source.Shown() {
		if !s.Checked.IsZero() {
			f.index.setDigest(s.Repository, s.Tag, s.Digest, s.Checked, now)
		}
	}
}

// resolve asks what tags name.
func (f *Front) resolve(ctx context.Context, tags []place) {
	each(ctx, f, tags, func(ctx context.Context, t place) error {
		d, err := f.source.Head(ctx, t.repo, t.tag)
		if err != nil && ctx.Err() == nil {
			f.index.failed(t.repo, t.tag, f.now())
		}
		if err != nil {
			return err
		}
		f.index.setDigest(t.repo, t.tag, d, f.now(), f.now())
		return nil
	})
}

// describe reads the manifests of versions of which nothing is known yet. Of a
// registry that counts what is read these are only those that somebody opened.
func (f *Front) describe(ctx context.Context) {
	wanted := f.index.undescribed(f.now())
	if !f.source.Lists() {
		opened := map[digest.Digest]bool{}
		for _, s := range f.source.Shown() {
			opened[s.Digest] = true
		}
		wanted = slices.DeleteFunc(wanted, func(v named) bool { return !opened[v.digest] })
	}
	each(ctx, f, wanted, func(ctx context.Context, v named) error {
		known, err := f.source.Describe(ctx, v.repo, v.digest)
		if err == nil {
			f.index.describeAs(v.digest, known)
		} else if !site.Unavailable(err) && ctx.Err() == nil {
			f.index.fail(v.digest, "its manifest cannot be used", f.now())
		}
		return err
	})
}

// count counts the files of sites that somebody opened, which costs no request.
func (f *Front) count(ctx context.Context) {
	for _, s := range f.source.Shown() {
		if ctx.Err() != nil || !f.index.uncounted(s.Manifest) {
			continue
		}
		if t, err := f.source.Tree(ctx, s.Repository, s.Manifest, false); err == nil {
			f.index.counted(s.Manifest, compare.Contents(t))
		}
	}
}
