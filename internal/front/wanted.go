package front

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// place is a tag of a repository, and when it was last asked for.
type place struct {
	repo, tag string
	asked     time.Time
}

// named is a version and a repository that has it.
type named struct {
	repo   string
	digest digest.Digest
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// unlisted are the repositories of which there is news or whose tags were not
// asked for in a refresh, oldest first.
func (x *index) unlisted(now time.Time) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	asked := map[string]time.Time{}
	for name, r := range x.repos {
		if at := later(r.listed, r.failed); now.Before(r.news) || now.Sub(at) >= x.refresh {
			asked[name] = at
		}
	}
	return slices.SortedFunc(maps.Keys(asked), func(a, b string) int {
		return cmp.Or(asked[a].Compare(asked[b]), cmp.Compare(a, b))
	})
}

// unresolved are the tags of which nobody knows what they name, but for those
// that were asked for without success just now.
func (x *index) unresolved(now time.Time) []place {
	return x.tags(func(t *tag) bool { return t.Digest == "" && now.Sub(t.failed) >= x.rest() })
}

// rest is how long a tag that could not be resolved is left alone.
func (x *index) rest() time.Duration { return min(x.refresh, unresolvedRest) }

// isWhole tells whether it is known of every tag what it names.
func (x *index) isWhole() bool {
	return len(x.tags(func(t *tag) bool { return t.Digest == "" })) == 0
}

// stale are the tags of which there is news or that were not asked for in a
// refresh, oldest first.
func (x *index) stale(now time.Time) []place {
	return x.tags(func(t *tag) bool { return now.Before(t.news) || now.Sub(later(t.checked, t.failed)) >= x.refresh })
}

// tags are those that fit, the one that was asked for longest ago first.
func (x *index) tags(fits func(*tag) bool) []place {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []place
	for _, r := range x.repos {
		for i := range r.Tags {
			if t := &r.Tags[i]; fits(t) {
				all = append(all, place{r.Name, t.Name, later(t.checked, t.failed)})
			}
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(a.asked.Compare(b.asked), cmp.Compare(a.repo, b.repo), cmp.Compare(a.tag, b.tag))
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
