package namespace

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/regfs/regfs/internal/site"
)

const (
	// minUsed is for how long at least after somebody looked a tag is kept up
	// to date; tags that nobody looks at cost no requests.
	minUsed = 30 * time.Second
	// idleAfter is for how long after somebody looked a site's tree is held in
	// memory. Then it is loaded again when it is wanted, which takes some
	// milliseconds.
	idleAfter = 10 * time.Minute
	// idleEvery is how often that is looked into.
	idleEvery = time.Second
	// checksAtOnce bounds the requests that following tags takes up, loadsAtOnce
	// the new versions that are read because of it.
	checksAtOnce = 8
	loadsAtOnce  = 8
	// minTick keeps a short refresh from becoming a busy loop, maxTick is how late
	// a tag may be in its turn.
	minTick = 20 * time.Millisecond
	maxTick = 250 * time.Millisecond
)

// follow keeps the tags in use fresh, so that a lookup finds the answer and
// need not wait for it. The kernel asks for a tag in use once per refresh,
// which is how it is known to be in use.
func (l *Live) follow(ctx context.Context) {
	tick := time.NewTicker(min(max(l.refresh/16, minTick), maxTick))
	defer tick.Stop()
	idle := time.NewTicker(idleEvery)
	defer idle.Stop()
	f := &follower{Live: l, checking: make(chan struct{}, checksAtOnce), loading: make(chan struct{}, loadsAtOnce)}
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			l.dropIdle()
			l.tellGone(l.maybes.old())
			continue
		case <-l.news:
		case <-tick.C:
		}
		f.checkDue(ctx)
	}
}

// dropIdle lets go of the trees of sites that nobody looked at for a while. The
// kernel may know files of them; those hold on to theirs.
func (l *Live) dropIdle() {
	idle := func(s *site.Site, used time.Time) bool {
		return s != nil && s.IsKept() && l.now().Sub(used) > idleAfter
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

// follower is what follow has under way.
type follower struct {
	*Live
	checking, loading chan struct{} // slots
}

// checkDue begins to check the tags whose turn it is, as many as may be checked
// at once and in a second; the others are due again, and by then longer.
func (f *follower) checkDue(ctx context.Context) {
	for _, r := range f.due() {
		select {
		case f.checking <- struct{}{}:
		default:
			return
		}
		if !f.checks.take() {
			<-f.checking
			return
		}
		f.putOff(r)
		f.behind(func() { f.checkOne(ctx, r) })
	}
}

// checkOne checks one tag. A version that takes long to read keeps no other
// tag from being checked.
func (f *follower) checkOne(ctx context.Context, r ref) {
	s, err := f.flight(ctx, "head of", r, f.head)
	<-f.checking
	if s == nil && err == nil {
		select {
		case f.loading <- struct{}{}:
			_, err = f.flight(ctx, "", r, f.fetchTag)
			<-f.loading
		default: // its turn comes again
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
		slog.Debug("tag not checked", "event", "check_failed", "repo", r.repo, "tag", r.tag, "err", err)
	}
}

// putOff has a tag wait for its next turn, also if nothing comes of this one.
func (l *Live) putOff(r ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tags[r]; t != nil {
		t.next = l.now().Add(min(l.refresh, site.RestAfterFailure))
	}
}

// due are the tags in use whose turn it is, those first that wait for longest.
func (l *Live) due() []ref {
	type turn struct {
		ref
		next time.Time
	}
	now := l.now()
	var turns []turn
	l.mu.Lock()
	for r, t := range l.tags {
		if l.followed(t, now) && !now.Before(t.next) {
			turns = append(turns, turn{r, t.next})
		}
	}
	l.mu.Unlock()
	slices.SortFunc(turns, func(a, b turn) int { return a.next.Compare(b.next) })
	due := make([]ref, len(turns))
	for i := range turns {
		due[i] = turns[i].ref
	}
	return due
}

// schedule chooses when a tag that was asked for just now is asked for again:
// some time before the answer is too old, and not all tags at the same moment;
// or soon, when there is news of it. Live.mu is held.
func (l *Live) schedule(t *tag, refresh time.Duration) {
	pause := refresh*3/5 + rand.N(refresh/5+1)
	if t.repeats > 0 {
		t.repeats--
		pause = newsRepeats[t.repeats]
		time.AfterFunc(pause, l.wakeFollow)
	}
	t.next = l.now().Add(pause)
}

// wakeFollow has the tags checked whose turn it is.
func (l *Live) wakeFollow() {
	select {
	case l.news <- struct{}{}:
	default: // follow comes by already
	}
}

// followed tells whether a tag is in use, so that due comes by it. Whoever looks
// first after a pause, or after a start, is not served by that.
func (l *Live) followed(t *tag, now time.Time) bool {
	return t.site != nil && !t.tried.IsZero() && now.Sub(t.used) < max(3*l.refresh, minUsed)
}
