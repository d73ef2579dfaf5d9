package namespace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/registry"
)

// checkBudget is how long a lookup waits to hear whether a tag has moved before
// it answers with the version that it knows.
const checkBudget = time.Second

// maxTags bounds the tags that are remembered; a version that makes way is
// resolved again when it is asked for. An entry takes some 500 bytes.
const maxTags = 100_000

// answerBudget is how long somebody waits to hear whether a name is there of
// which nothing is known. What the answer then makes necessary has the rest of
// the lookup's time.
const answerBudget = 2 * time.Second

// tag is what is known of one tag. Live.mu guards it.
type tag struct {
	top     digest.Digest // what the registry says the tag is: most often an index
	chosen  digest.Digest // the manifest in it that is the site
	site    *site.Site    // nil until somebody looks, after a restart
	checked time.Time     // when top was last heard from the registry
	tried   time.Time     // when it was last asked for
	next    time.Time     // when it is to be asked for again while it is in use
	used    time.Time     // when somebody last looked
	news    time.Time     // when there last was news of it
	repeats int           // how often it is still asked for because of that
	err     error         // why the newest version is not shown, or nothing newer is known
	bad     digest.Digest // the newest version, if it cannot be shown
	past    []site.Past   // what it named before, while assets of that are kept
}

// taggedSite is the answer of lookupTag.
type taggedSite struct {
	site  *site.Site
	known bool // it was not the registry that had to be asked
}

// lookupTag finds the site that a tag names now, and makes sure that it is not
// older than it may be.
func (l *Live) lookupTag(ctx context.Context, r ref) (taggedSite, error) {
	if !l.names.allowed(r.repo) || !registry.ValidTag(r.tag) {
		return taggedSite{}, fmt.Errorf("%s:%s is no name of a tag: %w", r.repo, r.tag, fs.ErrNotExist)
	}
	s, fresh := l.current(r)
	switch {
	case fresh:
		return taggedSite{s, true}, nil
	case s != nil && !l.checks.take():
		return taggedSite{s, true}, nil // follow comes by, in its turn
	case s != nil:
		s, err := l.recheck(ctx, r, s)
		return taggedSite{s, true}, err
	}
	s, err := l.resolve(ctx, r)
	return taggedSite{site: s}, err
}

// current is the site that is known for a tag, if any, and whether it is fresh
// enough to be shown without asking.
func (l *Live) current(r ref) (s *site.Site, fresh bool) {
	l.mu.Lock()
	t := l.tags[r]
	if t == nil {
		l.mu.Unlock()
		return nil, false
	}
	now := l.now()
	// A tag that is followed is as fresh as the registry lets it be: waiting
	// for one that is slow or away would only make everybody slow.
	fresh = now.Sub(t.checked) < l.refresh || l.followed(t, now)
	t.used = now
	s, chosen := t.site, t.chosen
	l.mu.Unlock()
	if s == nil {
		s = l.reload(r, chosen)
	}
	return s, s != nil && fresh
}

// reload loads the site of a tag that is known from before a restart.
func (l *Live) reload(r ref, chosen digest.Digest) *site.Site {
	s, err := l.loader.Kept(r.repo, chosen)
	if err != nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tags[r]
	if t == nil || t.chosen != chosen {
		return nil
	}
	if t.site == nil {
		t.site = l.loader.WithPast(s, t.past)
	}
	return t.site
}

// recheck asks whether a tag has moved. Whatever keeps the registry from
// saying, the version that is known goes on being shown.
func (l *Live) recheck(ctx context.Context, r ref, known *site.Site) (*site.Site, error) {
	ctx, cancel := context.WithTimeout(ctx, checkBudget)
	defer cancel()
	v, err := l.check(ctx, r)
	switch {
	case err == nil:
		return v, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, context.Canceled):
		return nil, err
	}
	return known, nil
}

// flight runs work for a tag once, however many wait for it.
func (l *Live) flight(ctx context.Context, what string, r ref, work func(context.Context, ref) (*site.Site, error)) (*site.Site, error) {
	v, err := l.loader.Do(ctx, fmt.Sprintf("%s %s:%s", what, r.repo, r.tag), func(ctx context.Context) (any, error) {
		if err := l.health.Check(r.repo, r.tag); err != nil {
			return (*site.Site)(nil), err
		}
		s, err := work(ctx, r)
		l.health.Note(err, r.repo, r.tag)
		return s, err
	})
	s, _ := v.(*site.Site)
	return s, err
}

// check compares a known tag with the registry, and takes over a new version
// once it can be served.
func (l *Live) check(ctx context.Context, r ref) (*site.Site, error) {
	s, err := l.flight(ctx, "head of", r, l.head)
	if s != nil || err != nil {
		return s, err
	}
	return l.flight(ctx, "", r, l.fetchTag)
}

// head asks what a known tag is now, by a request that costs no pull quota. The
// site is the one that is shown when there is nothing newer, or nothing newer
// that could be shown; nil means that the tag is to be fetched.
func (l *Live) head(ctx context.Context, r ref) (*site.Site, error) {
	l.mu.Lock()
	t := l.tags[r]
	if t == nil {
		l.mu.Unlock()
		return nil, nil
	}
	t.tried = l.now()
	top, s := t.top, t.site
	l.mu.Unlock()

	d, err := l.registry.HeadSince(ctx, r.repo, r.tag, top)
	if err != nil {
		l.failed(r, err)
		return nil, err
	}
	why := l.bad.check(pin{r.repo, d})
	if s == nil || d != top && why == nil {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.checked, t.err, t.bad = l.now(), nil, ""
	if d != top {
		t.err, t.bad = why, d
	}
	l.schedule(t, l.refresh)
	return s, nil
}

// resolve finds out what a tag names of which nothing is known.
func (l *Live) resolve(ctx context.Context, r ref) (*site.Site, error) {
	if l.absent.holds(r.String()) {
		return nil, fmt.Errorf("%s: %w", r, fs.ErrNotExist)
	}
	if doc, ok := l.heard.Load(r); ok {
		return l.flight(ctx, "", r, l.showing(doc.(answer)))
	}
	q := question{repo: r.repo, key: "what " + r.String() + " is", till: time.Now().Add(answerBudget)}
	v, err := l.inquire(ctx, q, l.asking(r))
	if errors.Is(err, ErrBusy) {
		switch l.tagListSays(r) {
		case listLacks:
			return nil, fmt.Errorf("%s is not in the registry's own list: %w", r, fs.ErrNotExist)
		case listHas:
			q.listed = true
			v, err = l.inquire(ctx, q, l.asking(r))
		}
	}
	if err != nil {
		return nil, err
	}
	return l.flight(ctx, "", r, l.showing(v.(answer)))
}

// asking asks what a tag names of which nothing is known, within the budget, and has
// its version made.
func (l *Live) asking(r ref) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		if err := l.admitTag(r); err != nil {
			return nil, err
		}
		doc, err := l.ask(ctx, r)
		l.health.Note(err, r.repo, r.tag)
		if err == nil { // also when nobody waits any more
			l.heard.Store(r, doc)
			l.behind(func() {
				_, _ = l.flight(l.ctx, "", r, l.showing(doc))
				l.heard.Delete(r)
			})
		}
		return doc, err
	}
}

// answer is what the registry said that a tag names.
type answer struct {
	registry.Manifest
	asked time.Time
}

// ask reads what a tag names.
func (l *Live) ask(ctx context.Context, r ref) (answer, error) {
	asked := l.now()
	doc, err := l.registry.Manifest(ctx, r.repo, r.tag)
	if err != nil {
		l.failed(r, err)
	}
	return answer{doc, asked}, err
}

func (r ref) String() string { return r.repo + ":" + r.tag }
