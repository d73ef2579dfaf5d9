package registry

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// MirrorState is how a mirror is.
type MirrorState struct {
	Host   string `json:"host"`            // HOST[:PORT][/PREFIX]
	Usable bool   `json:"usable"`          // it is asked
	Failed string `json:"error,omitempty"` // why it is not asked for a while
}

// Mirrors tells how the mirrors are, in the order in which they are asked.
func (c *Client) Mirrors() []MirrorState {
	var states []MirrorState
	for _, m := range c.mirrors {
		state := MirrorState{Host: strings.TrimSuffix(m.name+"/"+m.prefix, "/"), Usable: !m.failing.holds(m.now())}
		if why := m.why.Load(); why != nil && !state.Usable {
			state.Failed = *why
		}
		states = append(states, state)
	}
	return states
}

// fail has a mirror left alone for a while.
func (h *host) fail(why string, pause time.Duration) {
	h.why.Store(&why)
	h.failing.until(h.now().Add(pause))
}

// directly marks the contexts of WithoutMirrors.
type directly struct{}

// WithoutMirrors has what is done with the context done at the registry alone.
func WithoutMirrors(ctx context.Context) context.Context {
	return context.WithValue(ctx, directly{}, true)
}

// usableMirrors are those that have not failed lately.
func (c *Client) usableMirrors(ctx context.Context) []*host {
	if len(c.mirrors) == 0 || ctx.Value(directly{}) != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.mirrors), func(m *host) bool { return m.failing.holds(m.now()) })
}

// mirrorEnd is until when a mirror has to answer, so that there is time to ask
// somebody else.
func (h *host) mirrorEnd(end time.Time) time.Time {
	if own := time.Now().Add(h.limits.mirror); own.Before(end) {
		return own
	}
	return end
}

// blame has a mirror left alone for a while after an error, unless it only
// lacks what was asked for.
func (h *host) blame(err error) {
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	h.fail(err.Error(), h.limits.failed)
	slog.Warn("a mirror is of no use, the next is asked", "event", "mirror_failed", "mirror", h.name, "for", h.limits.failed, "err", err)
}

// fromMirrors reads a manifest from the first mirror that has it.
func (c *Client) fromMirrors(ctx context.Context, repo, reference string) (Manifest, bool) {
	end := time.Now().Add(c.limits.answer)
	for _, m := range c.usableMirrors(ctx) {
		doc, err := m.manifest(ctx, repo, reference, m.mirrorEnd(end))
		switch {
		case err == nil:
			return doc, true
		case ctx.Err() != nil:
			return Manifest{}, false
		case errors.Is(err, ErrMismatch):
			m.fail(err.Error(), m.limits.lied)
		default:
			m.blame(err)
		}
	}
	return Manifest{}, false
}
