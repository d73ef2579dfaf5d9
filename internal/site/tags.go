package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/hostname"
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
	site    *Site         // nil until somebody looks, after a restart
	checked time.Time     // when top was last heard from the registry
	tried   time.Time     // when it was last asked for
	next    time.Time     // when it is to be asked for again while it is in use
	used    time.Time     // when somebody last looked
	news    time.Time     // when there last was news of it
	repeats int           // how often it is still asked for because of that
	err     error         // why the newest version is not shown, or nothing newer is known
	bad     digest.Digest // the newest version, if it cannot be shown
	past    []past        // what it named before, while assets of that are kept
}

// taggedSite is the answer of lookupTag.
type taggedSite struct {
	site  *Site
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
func (l *Live) current(r ref) (s *Site, fresh bool) {
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
func (l *Live) reload(r ref, chosen digest.Digest) *Site {
	s, err := l.loader.kept(r.repo, chosen)
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
		t.site = l.withPast(r, s, t.past)
	}
	return t.site
}

// recheck asks whether a tag has moved. Whatever keeps the registry from
// saying, the version that is known goes on being shown.
func (l *Live) recheck(ctx context.Context, r ref, known *Site) (*Site, error) {
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
func (l *Live) flight(ctx context.Context, what string, r ref, work func(context.Context, ref) (*Site, error)) (*Site, error) {
	v, err := l.loader.flights.do(ctx, fmt.Sprintf("%s %s:%s", what, r.repo, r.tag), func(ctx context.Context) (any, error) {
		if err := l.loader.health.check(); err != nil {
			return (*Site)(nil), err
		}
		s, err := work(ctx, r)
		l.loader.health.note(err)
		return s, err
	})
	s, _ := v.(*Site)
	return s, err
}

// check compares a known tag with the registry, and takes over a new version
// once it can be served.
func (l *Live) check(ctx context.Context, r ref) (*Site, error) {
	s, err := l.flight(ctx, "head of", r, l.head)
	if s != nil || err != nil {
		return s, err
	}
	return l.flight(ctx, "", r, l.fetchTag)
}

// head asks what a known tag is now, by a request that costs no pull quota. The
// site is the one that is shown when there is nothing newer, or nothing newer
// that could be shown; nil means that the tag is to be fetched.
func (l *Live) head(ctx context.Context, r ref) (*Site, error) {
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
func (l *Live) resolve(ctx context.Context, r ref) (*Site, error) {
	if l.absent.holds(r.String()) {
		return nil, fmt.Errorf("%s: %w", r, fs.ErrNotExist)
	}
	if doc, ok := l.heard.Load(r); ok {
		return l.flight(ctx, "", r, l.showing(doc.(answer)))
	}
	asking, cancel := context.WithTimeout(ctx, answerBudget)
	defer cancel()
	v, err := l.loader.flights.do(asking, "what "+r.String()+" is", func(ctx context.Context) (any, error) {
		if err := l.loader.health.check(); err != nil {
			return nil, err
		}
		if err := l.admitTag(r); err != nil {
			return nil, err
		}
		doc, err := l.ask(ctx, r)
		l.loader.health.note(err)
		if err == nil { // also when nobody waits any more
			l.heard.Store(r, doc)
			l.behind(func() {
				_, _ = l.flight(l.ctx, "", r, l.showing(doc))
				l.heard.Delete(r)
			})
		}
		return doc, err
	})
	if err != nil {
		return nil, err
	}
	return l.flight(ctx, "", r, l.showing(v.(answer)))
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

// fetchTag reads what a tag names, makes the site of it, and only then shows it.
func (l *Live) fetchTag(ctx context.Context, r ref) (*Site, error) {
	doc, err := l.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	return l.showing(doc)(ctx, r)
}

// showing makes the site of what a tag names, and shows it, unless somebody
// else has just done so with the same answer.
func (l *Live) showing(doc answer) func(context.Context, ref) (*Site, error) {
	return func(ctx context.Context, r ref) (*Site, error) {
		if s := l.shownSince(r, doc); s != nil {
			return s, nil
		}
		version := pin{r.repo, doc.Digest}
		s, err := l.version(ctx, r, version, doc.Manifest)
		if err != nil {
			if s = l.loader.brokenSite(r.repo, doc.Digest, err); s == nil || l.isShown(r) {
				l.failedVersion(r, version, err)
				return nil, err
			}
		}
		l.show(r, doc.Digest, s, doc.asked)
		return s, nil
	}
}

// version makes the site of a version that a tag names, unless that was tried
// lately, in vain.
func (l *Live) version(ctx context.Context, r ref, version pin, doc registry.Manifest) (*Site, error) {
	if err := l.bad.check(version); err != nil {
		return nil, err
	}
	s, err := l.loader.load(ctx, r.repo, doc)
	if err == nil && l.isShown(r) {
		err = s.promise(ctx)
	}
	err = promised(err)
	l.bad.note(version, err)
	if err != nil {
		slog.Error("a version cannot be shown", "event", "bad_version", "repo", r.repo, "tag", r.tag, "digest", doc.Digest, "err", err)
	}
	return s, err
}

// shownSince is the site that is shown for a tag because of an answer.
func (l *Live) shownSince(r ref, doc answer) *Site {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tags[r]; t != nil && t.top == doc.Digest && !t.checked.Before(doc.asked) {
		return t.site
	}
	return nil
}

// isShown tells whether some version of a tag is shown. Nothing is to be lost
// by showing one where none is.
func (l *Live) isShown(r ref) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tags[r] != nil
}

// show makes a site the one that a tag names, as the registry says since asked.
func (l *Live) show(r ref, top digest.Digest, s *Site, asked time.Time) {
	l.names.add(r.repo)
	now := l.now()
	l.mu.Lock()
	t := l.tags[r]
	moved := t != nil && t.chosen != s.Digest
	if t == nil {
		t = &tag{used: now}
		l.dropOldestTag()
		l.tags[r] = t
	}
	if moved && l.keepAssets > 0 && (t.site == nil || t.site.problem == nil) {
		t.past = remember(t.past, past{t.chosen, now.Add(l.keepAssets)}, s.Digest, now)
	}
	t.top, t.chosen, t.site, t.checked, t.tried, t.err, t.bad = top, s.Digest, l.withPast(r, s, t.past), now, now, nil, ""
	if moved && !t.news.After(asked) {
		t.repeats = 0 // this is what the news was
	}
	l.schedule(t, l.refresh)
	l.markDirtyLocked()
	l.mu.Unlock()
	if moved {
		l.moves.Add(1)
		slog.Info("tag moved", "event", "tag_moved", "repo", r.repo, "tag", r.tag, "digest", s.Digest)
		l.announce(r)
	}
}

// failed notes why nothing newer is known of a tag; one that the registry does
// not have any more is gone.
func (l *Live) failed(r ref, err error) {
	l.mu.Lock()
	t := l.tags[r]
	gone := errors.Is(err, fs.ErrNotExist)
	if t != nil && gone {
		delete(l.tags, r)
		l.markDirtyLocked()
	} else if t != nil {
		t.err, t.bad, t.tried = err, "", l.now()
		l.schedule(t, min(l.refresh, restAfterFailure))
	}
	l.mu.Unlock()
	if gone {
		l.absent.add(r.String())
	}
	if t != nil && gone {
		slog.Info("tag deleted", "event", "tag_deleted", "repo", r.repo, "tag", r.tag)
		l.announce(r)
		l.behind(func() { l.confirm(r.repo) }) // it may be gone with its tags
	}
}

// failedVersion notes that what a tag names now cannot be shown.
func (l *Live) failedVersion(r ref, version pin, err error) {
	l.failed(r, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tags[r]; t != nil && isBad(err) {
		t.bad = version.digest
		l.schedule(t, l.refresh)
	}
}

// dropOldestTag makes room for one more tag: the one that nobody looked at for
// longest makes way. Live.mu is held.
func (l *Live) dropOldestTag() {
	if len(l.tags) < maxTags {
		return
	}
	var oldest ref
	for r, t := range l.tags {
		if o := l.tags[oldest]; o == nil || t.used.Before(o.used) {
			oldest = r
		}
	}
	delete(l.tags, oldest)
}

// announce tells that a tag means something else now, under each of its names.
func (l *Live) announce(r ref) {
	dir, base := parent(r.repo)
	l.tell(r.repo, r.tag)
	l.tell(dir, base+":"+r.tag)
	l.tell(dir, base+"@"+r.tag)
	l.tell(HostsFolder, hostname.Label(r.repo, r.tag))
	for _, a := range l.aliases.of(r) {
		l.announceAlias(a)
	}
}

func (r ref) String() string { return r.repo + ":" + r.tag }
