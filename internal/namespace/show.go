package namespace

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/hostname"
	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/registry"
)

// fetchTag reads what a tag names, makes the site of it, and only then shows it.
func (l *Live) fetchTag(ctx context.Context, r ref) (*site.Site, error) {
	doc, err := l.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	return l.showing(doc)(ctx, r)
}

// showing makes the site of what a tag names, and shows it, unless somebody
// else has just done so with the same answer.
func (l *Live) showing(doc answer) func(context.Context, ref) (*site.Site, error) {
	return func(ctx context.Context, r ref) (*site.Site, error) {
		if s := l.shownSince(r, doc); s != nil {
			return s, nil
		}
		version := pin{r.repo, doc.Digest}
		s, err := l.version(ctx, r, version, doc.Manifest)
		if err != nil {
			if s = l.loader.Broken(r.repo, doc.Digest, err); s == nil || l.isShown(r) {
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
func (l *Live) version(ctx context.Context, r ref, version pin, doc registry.Manifest) (*site.Site, error) {
	if err := l.bad.check(version); err != nil {
		return nil, err
	}
	s, err := l.loader.Load(ctx, r.repo, doc)
	if err == nil && l.isShown(r) {
		err = s.Promise(ctx)
	}
	err = site.Promised(err)
	l.bad.note(version, err)
	if err != nil && ctx.Err() == nil { // or else the process ends
		slog.Error("a version cannot be shown", "event", "bad_version", "repo", r.repo, "tag", r.tag, "digest", doc.Digest, "err", err)
	}
	return s, err
}

// shownSince is the site that is shown for a tag because of an answer.
func (l *Live) shownSince(r ref, doc answer) *site.Site {
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
func (l *Live) show(r ref, top digest.Digest, s *site.Site, asked time.Time) {
	l.names.keep(r.repo)
	now := l.now()
	l.mu.Lock()
	t := l.tags[r]
	moved := t != nil && t.chosen != s.Digest
	if t == nil {
		t = &tag{used: now}
		l.dropOldestTag()
		l.tags[r] = t
	}
	if moved && l.keepAssets > 0 && (t.site == nil || t.site.Problem() == nil) {
		t.past = remember(t.past, site.Past{Manifest: t.chosen, Till: now.Add(l.keepAssets)}, s.Digest, now)
	}
	t.top, t.chosen, t.site, t.checked, t.tried, t.err, t.bad = top, s.Digest, l.loader.WithPast(s, t.past), now, now, nil, ""
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
		l.schedule(t, min(l.refresh, site.RestAfterFailure))
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
	if t := l.tags[r]; t != nil && site.IsBad(err) {
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
