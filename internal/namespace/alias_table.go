package namespace

import (
	"cmp"
	"slices"
	"time"

	"github.com/regfs/regfs/internal/site"
)

// current is the tag that an alias stands for as far as known, and whether that
// is fresh enough to be shown without asking.
func (a *aliases) current(r ref, now time.Time, refresh time.Duration) (tag string, fresh bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.known[r]
	if k == nil {
		return "", false
	}
	fresh = now.Sub(k.checked) < refresh || k.followed(now, refresh)
	k.used = now
	return k.tag, fresh
}

// followed tells whether an alias is in use, so that due comes by it.
func (k *alias) followed(now time.Time, refresh time.Duration) bool {
	return !k.tried.IsZero() && now.Sub(k.used) < max(3*refresh, minUsed)
}

// due are the aliases in use whose answer is about to be too old, those of one
// repository together: its tags are listed once for all.
func (a *aliases) due(now time.Time, refresh time.Duration) []ref {
	a.mu.Lock()
	defer a.mu.Unlock()
	var due []ref
	for r, k := range a.known {
		if k.followed(now, refresh) && now.Sub(k.checked) >= refresh*3/4 && now.Sub(k.tried) >= min(refresh*3/4, site.RestAfterFailure) {
			due = append(due, r)
		}
	}
	slices.SortFunc(due, func(a, b ref) int { return cmp.Compare(a.repo, b.repo) })
	return due
}

func (a *aliases) has(r ref) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known[r] != nil
}

// trying notes that the registry is asked.
func (a *aliases) trying(r ref, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := a.known[r]; k != nil {
		k.tried = now
	}
}

// set notes what an alias stands for, and gives what it stood for before.
func (a *aliases) set(r ref, tag string, now time.Time) (was string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.known[r]
	if k == nil {
		a.dropOldest()
		k = &alias{used: now}
		a.known[r] = k
	}
	was, k.tag, k.checked, k.tried = k.tag, tag, now, now
	return was
}

// restore notes what an alias stood for before a restart.
func (a *aliases) restore(r ref, tag string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) < maxAliases {
		a.known[r] = &alias{tag: tag}
	}
}

// drop forgets an alias; it tells whether it was known.
func (a *aliases) drop(r ref) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, known := a.known[r]
	delete(a.known, r)
	return known
}

func (a *aliases) dropOldest() {
	if len(a.known) < maxAliases {
		return
	}
	var oldest ref
	for r, k := range a.known {
		if o := a.known[oldest]; o == nil || k.used.Before(o.used) {
			oldest = r
		}
	}
	delete(a.known, oldest)
}

// of are the aliases that stand for a tag.
func (a *aliases) of(r ref) []ref {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []ref
	for name, k := range a.known {
		if name.repo == r.repo && k.tag == r.tag {
			all = append(all, name)
		}
	}
	return all
}

// in are the aliases in a repository that somebody looked at since a time.
func (a *aliases) in(repo string, since time.Time) []ref {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []ref
	for name, k := range a.known {
		if name.repo == repo && !k.used.Before(since) {
			all = append(all, name)
		}
	}
	return all
}

// listed is the tags of a repository if they were listed just now.
func (a *aliases) listed(repo string, now time.Time, age time.Duration) ([]string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.versions[repo]
	return v.tags, ok && now.Sub(v.at) < age
}

func (a *aliases) list(repo string, tags []string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.versions) >= maxVersionLists {
		clear(a.versions)
	}
	a.versions[repo] = versionList{tags, now}
}

// doubt has the tags of a repository listed again.
func (a *aliases) doubt(repo string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.versions, repo)
	for r, k := range a.known {
		if r.repo == repo {
			k.checked = time.Time{}
			k.tried = time.Time{}
		}
	}
}

// all are the aliases and their tags, to be kept.
func (a *aliases) all() map[ref]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make(map[ref]string, len(a.known))
	for r, k := range a.known {
		all[r] = k.tag
	}
	return all
}
