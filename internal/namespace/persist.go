package namespace

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/registry"
)

// saveEvery is how often a namespace that changed is kept at most.
const saveEvery = time.Second

// memory is what is kept of a namespace, as JSON: enough to serve without the
// registry what was served before.
type memory struct {
	Version      int           `json:"version"` // memoryVersion
	Repositories []string      `json:"repositories"`
	Tags         []memoryTag   `json:"tags"`
	Fixed        []memoryFixed `json:"fixed"`
	Aliases      []memoryAlias `json:"aliases,omitempty"`
}

const memoryVersion = 1

type memoryTag struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag"`
	Top        digest.Digest `json:"top"`
	Chosen     digest.Digest `json:"chosen"`
	Past       []memoryPast  `json:"past,omitempty"`
}

// memoryPast is a version that a tag named before, and until when its assets are
// kept.
type memoryPast struct {
	Chosen digest.Digest `json:"chosen"`
	Till   time.Time     `json:"till"`
}

type memoryFixed struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	Chosen     digest.Digest `json:"chosen"`
}

type memoryAlias struct {
	Repository string `json:"repository"`
	Alias      string `json:"alias"`
	Tag        string `json:"tag"`
}

// memoryName is the document for one registry and platform; several may share a
// store.
func (l *Live) memoryName() string {
	key := l.registry.Host()
	if p := l.platform.String(); p != "" {
		key += " " + p
	}
	sum := sha256.Sum256([]byte(key))
	return fmt.Sprintf("namespaces/%x", sum[:8])
}

// restore takes over what was kept; whatever makes no sense is left out.
func (l *Live) restore() {
	data, err := l.store.LoadDocument(l.memoryName())
	if err != nil {
		return
	}
	var m memory
	if json.Unmarshal(data, &m) != nil || m.Version != memoryVersion {
		return
	}
	for _, r := range m.Repositories {
		l.names.add(r)
	}
	for _, t := range m.Tags {
		if l.names.allowed(t.Repository) && registry.ValidTag(t.Tag) && t.Chosen.Validate() == nil && t.Top.Validate() == nil {
			l.tags[ref{t.Repository, t.Tag}] = &tag{top: t.Top, chosen: t.Chosen, past: l.restorePast(t.Past)}
		}
	}
	for _, a := range m.Aliases {
		if l.names.allowed(a.Repository) && isAlias(a.Alias) && registry.ValidTag(a.Tag) {
			l.aliases.restore(ref{a.Repository, a.Alias}, a.Tag)
		}
	}
	for _, f := range m.Fixed {
		if l.names.allowed(f.Repository) && f.Digest.Validate() == nil && f.Chosen.Validate() == nil {
			l.fixed[pin{f.Repository, f.Digest}] = &fixedSite{chosen: f.Chosen}
		}
	}
}

// restorePast takes over what a tag named before a restart. Whoever says now for
// how long assets are kept shortens that of what was kept before, too.
func (l *Live) restorePast(kept []memoryPast) (list []site.Past) {
	now := l.now()
	for _, p := range kept {
		till := p.Till
		if most := now.Add(l.keepAssets); till.After(most) {
			till = most
		}
		if p.Chosen.Validate() == nil && now.Before(till) && len(list) < maxPast {
			list = append(list, site.Past{Manifest: p.Chosen, Till: till})
		}
	}
	return list
}

func keepPast(list []site.Past) (kept []memoryPast) {
	for _, p := range list {
		kept = append(kept, memoryPast{p.Manifest, p.Till})
	}
	return kept
}

func (l *Live) markDirty() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.markDirtyLocked()
}

// markDirtyLocked has the namespace kept; Live.mu is held.
func (l *Live) markDirtyLocked() {
	l.dirty = true
	select {
	case l.wake <- struct{}{}:
	default: // it is to be kept already
	}
}

// saveChanges keeps the namespace at its first change, so that it is there also
// after a kill, and then not too often.
func (l *Live) saveChanges(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
			l.save()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(saveEvery):
		}
	}
}

// save keeps the namespace if it changed.
func (l *Live) save() {
	m, changed := l.memory()
	if !changed {
		return
	}
	data, err := json.Marshal(m)
	if err == nil {
		err = l.store.SaveDocument(l.memoryName(), data)
	}
	if err != nil {
		l.markDirty()
		slog.Warn("what is known of the registry is not kept", "event", "cache_full", "err", err)
	}
}

func (l *Live) memory() (memory, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dirty {
		return memory{}, false
	}
	l.dirty = false
	m := memory{Version: memoryVersion, Repositories: l.names.all()}
	for r, t := range l.tags {
		if t.site != nil && t.site.Problem() != nil {
			continue // nothing is lost by asking again
		}
		m.Tags = append(m.Tags, memoryTag{r.repo, r.tag, t.top, t.chosen, keepPast(t.past)})
	}
	for p, f := range l.fixed {
		if f.site != nil && f.site.Problem() != nil {
			continue
		}
		m.Fixed = append(m.Fixed, memoryFixed{p.repo, p.digest, f.chosen})
	}
	for r, tag := range l.aliases.all() {
		m.Aliases = append(m.Aliases, memoryAlias{r.repo, r.tag, tag})
	}
	slices.SortFunc(m.Tags, func(a, b memoryTag) int {
		return cmp.Or(cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Tag, b.Tag))
	})
	return m, true
}
