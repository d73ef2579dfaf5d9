package namespace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// pinRetry is how long a version that does not fit into the store is left alone
// before it is tried again: fetching it anew each time would cost the registry
// all of it.
const pinRetry = 10 * time.Minute

// errTooLarge means that a pinned version does not fit.
var errTooLarge = errors.New("does not fit into the cache: give it more with --cache-size")

// pinnedTag is a tag whose version is kept in the store as a whole, large files
// too, whether anybody reads it or not. Only the goroutine that keeps it uses
// it, but for state.
type pinnedTag struct {
	ref
	state  string // of PinState; Live.mu guards it
	pinned string // digest of the version whose contents are pinned
	futile string // digest of the version that did not fit,
	since  time.Time
}

// The states of a pinned tag.
const (
	PinFetching = "fetching" // some of it is not here yet
	PinLocal    = "local"    // all of it is here
	PinFailed   = "failed"   // its problem says why
)

// keepPinned keeps one tag's version local, and follows the tag.
func (l *Live) keepPinned(ctx context.Context, p *pinnedTag) {
	for ctx.Err() == nil {
		err := l.bring(ctx, p)
		if ctx.Err() != nil {
			return
		}
		l.notePinned(p, err)
		select {
		case <-ctx.Done():
		case <-time.After(l.refresh):
		}
	}
}

// notePinned keeps the outcome of a round; only what is news is logged.
func (l *Live) notePinned(p *pinnedTag, err error) {
	state := PinLocal
	if err != nil {
		state = PinFailed
	}
	l.mu.Lock()
	before := p.state
	p.state = state
	l.mu.Unlock()
	switch {
	case state == before:
	case err != nil:
		slog.Warn("a pinned version is not wholly here", "event", "pin_failed", "repo", p.repo, "tag", p.tag, "err", err)
	default:
		slog.Info("a pinned version is wholly here", "event", "pinned", "repo", p.repo, "tag", p.tag, "digest", p.pinned)
	}
}

// bring fetches what is missing of the version that the tag names now.
func (l *Live) bring(ctx context.Context, p *pinnedTag) error {
	tagged, err := l.lookupTag(ctx, p.ref)
	if err != nil {
		return err
	}
	s, digest := tagged.site, tagged.site.Digest.String()
	if p.pinned != digest {
		l.store.Pin(p.String(), s.Keys)
		p.pinned = digest
	}
	missing := s.Missing()
	switch {
	case missing == 0:
		return nil
	case p.futile == digest && l.now().Sub(p.since) < pinRetry:
		return errTooLarge
	}
	l.mu.Lock()
	p.state = PinFetching
	l.mu.Unlock()
	if missing <= l.store.Stats().Limit {
		if err := s.Complete(ctx); err != nil {
			return err
		}
		if s.Missing() == 0 {
			return nil
		}
	}
	p.futile, p.since = digest, l.now()
	return fmt.Errorf("%s, %d bytes: %w", p.ref, missing, errTooLarge)
}
