package namespace

import (
	"cmp"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/hostname"
	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/registry"
)

// Status is what a namespace says of itself.
type Status struct {
	Registry string      `json:"registry"`
	Healthy  bool        `json:"healthy"`
	Problem  string      `json:"problem,omitempty"` // why it is not healthy
	Tags     []TagStatus `json:"tags"`              // those that were looked up
	Moves    int64       `json:"moves"`             // times that a tag was switched to another version
	Cache    cache.Stats `json:"cache"`

	Companions site.CompanionStats    `json:"companions"` // gzip forms
	Mirrors    []registry.MirrorState `json:"mirrors,omitempty"`
}

// TagStatus is what is known of one tag.
type TagStatus struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag"`
	Host       string        `json:"host"`   // its DNS label, in front of ".sites." and the web server's name
	Digest     digest.Digest `json:"digest"` // what the tag was when what is shown was read, most often an index
	Site       digest.Digest `json:"site"`   // the manifest that is shown
	Files      int           `json:"files,omitempty"`
	Checked    *time.Time    `json:"checked,omitempty"` // when the registry last confirmed it; nil: not since the start
	Problem    string        `json:"problem,omitempty"`
	Bad        digest.Digest `json:"bad,omitempty"` // what the registry says the tag is, if that cannot be shown: an older version is
	Warning    string        `json:"warning,omitempty"`
	Pinned     string        `json:"pinned,omitempty"` // PinFetching, PinLocal or PinFailed; "" if it is not
}

// Status tells what is served, and how well.
func (l *Live) Status() Status {
	s := Status{
		Registry: l.registry.Host(), Mirrors: l.registry.Mirrors(), Healthy: true, Moves: l.moves.Load(),
		Cache: l.store.Stats(), Companions: l.loader.CompanionStats(), Tags: []TagStatus{},
	}
	if err := l.health.Problem(); err != nil {
		s.Healthy, s.Problem = false, err.Error()
	}
	if err := l.store.Problem(); err != nil && s.Healthy {
		s.Healthy, s.Problem = false, "the cache keeps nothing new: "+err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for r, t := range l.tags {
		status := t.status(r)
		if p := l.pinned[r]; p != nil {
			status.Pinned = p.state
		}
		s.Tags = append(s.Tags, status)
		if t.err != nil && s.Healthy {
			s.Healthy, s.Problem = false, r.String()+": "+t.err.Error()
		}
	}
	slices.SortFunc(s.Tags, func(a, b TagStatus) int {
		return cmp.Or(cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Tag, b.Tag))
	})
	return s
}

func (t *tag) status(r ref) TagStatus {
	s := TagStatus{Repository: r.repo, Tag: r.tag, Host: hostname.Label(r.repo, r.tag), Digest: t.top, Site: t.chosen, Bad: t.bad}
	if t.site != nil {
		s.Files, s.Warning = t.site.Tree.Len()-1, t.site.Warning
	}
	if !t.checked.IsZero() {
		checked := t.checked // the status is read without the lock
		s.Checked = &checked
	}
	switch {
	case t.err != nil:
		s.Problem = t.err.Error()
	case t.site != nil && t.site.Problem() != nil:
		s.Problem = t.site.Problem().Error()
	}
	return s
}
