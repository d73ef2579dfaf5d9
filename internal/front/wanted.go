package front

import (
	"cmp"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// place is a tag of a repository, and when it was last looked at.
type place struct {
	repo, tag string
	checked   time.Time
}

// named is a version and a repository that has it.
type named struct {
	repo   string
	digest digest.Digest
}

// unlisted are the repositories of which there is news or whose tags were not
// listed for a refresh, oldest first.
func (x *index) unlisted(now time.Time) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var names []string
	for name, r := range x.repos {
		if now.Before(r.news) || now.Sub(r.listed) >= x.refresh {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(x.repos[a].listed.Compare(x.repos[b].listed), cmp.Compare(a, b))
	})
	return names
}

// unresolved are the tags of which nobody knows what they name, but for those
// that were asked for without success just now.
func (x *index) unresolved(now time.Time) []place {
	return x.tags(func(t *tag) bool { return t.Digest == "" && now.Sub(t.failed) >= x.refresh })
}

// stale are the tags of which there is news or that were not looked at for a
// refresh, oldest first.
func (x *index) stale(now time.Time) []place {
	return x.tags(func(t *tag) bool { return now.Before(t.news) || now.Sub(t.checked) >= x.refresh })
}

// tags are those that fit, those not looked at for longest first.
func (x *index) tags(fits func(*tag) bool) []place {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []place
	for _, r := range x.repos {
		for i := range r.Tags {
			if t := &r.Tags[i]; fits(t) {
				all = append(all, place{r.Name, t.Name, t.checked})
			}
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(a.checked.Compare(b.checked), cmp.Compare(a.repo, b.repo), cmp.Compare(a.tag, b.tag))
	})
	return all
}

// failed notes that a tag was asked for without success.
func (x *index) failed(repo, name string, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if t := x.tag(repo, name); t != nil {
		t.failed = now
	}
}

// undescribed are the versions of which only the digest is known, each once.
func (x *index) undescribed(now time.Time) []named {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []named
	seen := map[digest.Digest]bool{}
	for _, r := range x.repos {
		for i := range r.Tags {
			d := r.Tags[i].Digest
			v := x.versions[d]
			if v != nil && v.Manifest == "" && now.Sub(v.tried) >= failureRest && !seen[d] {
				seen[d] = true
				all = append(all, named{r.Name, d})
			}
		}
	}
	return all
}

// uncounted tells whether the number of files of a site that is listed is not
// known.
func (x *index) uncounted(manifest digest.Digest) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.counts[manifest]
	return !ok
}
