package front

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/compare"
	"github.com/regfs/regfs/internal/hostname"
	"github.com/regfs/regfs/internal/site"
)

// index is what is known of all sites.
type index struct {
	mu       sync.Mutex
	registry string
	refresh  time.Duration
	problem  string
	describe bool // all versions are going to be described
	repos    map[string]*repository
	versions map[digest.Digest]*version
	counts   map[digest.Digest]compare.Count // of files, by manifest
	tagCount int
	news     time.Time            // until when there is news of anything
	heard    map[string]time.Time // repositories that are not known, and until when there is news of them

	dirty   bool // made is old
	unsaved bool
	made    []byte
	next    time.Time // when it may be made again
}

func (x *index) begin(registry string, refresh time.Duration) {
	x.registry, x.refresh, x.dirty = registry, refresh, true
	x.repos, x.versions, x.counts = map[string]*repository{}, map[digest.Digest]*version{}, map[digest.Digest]compare.Count{}
	x.heard = map[string]time.Time{}
}

// change takes a lock and does something to the index that is to be seen.
func (x *index) change(do func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	do()
	x.dirty, x.unsaved = true, true
}

// known tells whether anything is.
func (x *index) known() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.repos) > 0
}

// setRepositories takes the names of all repositories; what is gone is dropped.
// describe says whether all of their versions are going to be described.
func (x *index) setRepositories(names []string, describe bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.describe = describe
	fresh := make(map[string]*repository, len(names))
	for _, name := range names {
		if r := x.repos[name]; r != nil {
			fresh[name] = r
			continue
		}
		fresh[name] = &repository{Name: name}
		x.dirty, x.unsaved = true, true
	}
	if len(fresh) != len(x.repos) {
		x.dirty, x.unsaved = true, true
	}
	x.repos, x.tagCount = fresh, 0
	for _, r := range fresh {
		x.tagCount += len(r.Tags)
	}
}

// setTags takes the names of all tags of a repository, sorted.
func (x *index) setTags(repo string, names []string, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.repos[repo]
	if r == nil {
		return
	}
	old := make(map[string]tag, len(r.Tags))
	for _, t := range r.Tags {
		old[t.Name] = t
	}
	isFirst, late := r.Tags == nil, now.After(r.news) && x.late(r.listed, now)
	r.listed = now
	at := shownTime(now)
	room := maxTags - x.tagCount + len(r.Tags)
	names = names[:min(len(names), room)]
	fresh := make([]tag, 0, len(names))
	for _, name := range names {
		t, ok := old[name]
		if !ok {
			if t = (tag{Name: name, Host: hostname.Label(repo, name)}); late {
				t.Before = at
			}
			x.dirty, x.unsaved = true, true
		}
		fresh = append(fresh, t)
	}
	if len(fresh) != len(r.Tags) || r.Problem != "" || isFirst {
		x.dirty, x.unsaved = true, true
	}
	x.tagCount += len(fresh) - len(r.Tags)
	r.Tags, r.Problem = fresh, ""
}

// notListed notes that the tags of a repository could not be listed, and why.
func (x *index) notListed(repo, problem string, now time.Time) {
	x.setProblem(repo, problem)
	x.mu.Lock()
	defer x.mu.Unlock()
	if r := x.repos[repo]; r != nil {
		r.failed = now
	}
}

// setProblem says why the tags of a repository, or for "" anything, may be old.
func (x *index) setProblem(repo, problem string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	place := &x.problem
	if r := x.repos[repo]; r != nil {
		place = &r.Problem
	} else if repo != "" {
		return
	}
	if *place != problem {
		*place, x.dirty = problem, true
	}
}

// setDigest takes what a tag names, and when the registry said so.
func (x *index) setDigest(repo, name string, d digest.Digest, checked, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.tag(repo, name)
	if t == nil {
		return
	}
	late := now.After(t.news) && x.late(t.checked, now)
	if checked.After(t.checked) {
		t.checked = checked
	}
	switch {
	case t.Digest == d:
		return
	case t.Digest == "" && t.Before == nil, t.Digest != "" && !late:
		t.Pushed, t.Before = shownTime(now), nil
	case t.Digest != "":
		t.Pushed, t.Before = nil, shownTime(now)
	}
	t.Digest, x.dirty, x.unsaved = d, true, true
	if x.versions[d] == nil {
		x.versions[d] = &version{}
	}
}

// minLate is the least time without a look after which nobody can say when
// something was pushed.
const minLate = time.Minute

// late tells whether what is seen now may have happened long before, for want of
// a look in between.
func (x *index) late(last, now time.Time) bool { return now.Sub(last) > max(minLate, 2*x.refresh) }

// shownTime is a time as the list has it: looks are no more exact than that.
func shownTime(t time.Time) *time.Time {
	t = t.UTC().Truncate(time.Second)
	return &t
}

// tag finds a tag; x.mu is held.
func (x *index) tag(repo, name string) *tag {
	r := x.repos[repo]
	if r == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(r.Tags, name, func(t tag, name string) int { return strings.Compare(t.Name, name) })
	if !ok {
		return nil
	}
	return &r.Tags[i]
}

// describeAs takes what is known of a version.
func (x *index) describeAs(d digest.Digest, known site.Description) {
	x.change(func() {
		v := x.versions[d]
		if v == nil {
			return // nobody names it any more
		}
		v.Manifest, v.Size, v.Problem = known.Manifest, known.Size, ""
		if _, ok := x.counts[v.Manifest]; !ok && known.Files > 0 {
			x.counts[v.Manifest] = compare.Count{Files: known.Files, Bytes: known.Bytes}
		}
		if !known.Created.IsZero() {
			v.Created = &known.Created
		}
	})
}

// fail says why a version is not described.
func (x *index) fail(d digest.Digest, problem string, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	v := x.versions[d]
	if v == nil {
		return
	}
	v.tried = now
	if v.Problem != problem {
		v.Problem, x.dirty, x.unsaved = problem, true, true
	}
}

// counted takes the number of files of a site.
func (x *index) counted(manifest digest.Digest, c compare.Count) {
	x.change(func() { x.counts[manifest] = c })
}

// prune forgets versions that no tag names.
func (x *index) prune() {
	x.mu.Lock()
	defer x.mu.Unlock()
	versions, manifests := map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, r := range x.repos {
		for i := range r.Tags {
			versions[r.Tags[i].Digest] = true
		}
	}
	maps.DeleteFunc(x.versions, func(d digest.Digest, _ *version) bool { return !versions[d] })
	for _, v := range x.versions {
		manifests[v.Manifest] = true
	}
	maps.DeleteFunc(x.counts, func(d digest.Digest, _ compare.Count) bool { return !manifests[d] })
}

// find gives a repository that shows the version d, its index or its manifest,
// and the manifest.
func (x *index) find(d digest.Digest) (repo string, manifest digest.Digest, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.repos {
		for i := range r.Tags {
			v := x.versions[r.Tags[i].Digest]
			if v != nil && v.Manifest != "" && (v.Manifest == d || r.Tags[i].Digest == d) {
				return r.Name, v.Manifest, true
			}
		}
	}
	return "", "", false
}

const (
	// minRemake is how often the list is made anew at most while it changes.
	minRemake = 200 * time.Millisecond
	// remakeShare keeps making a long list from taking more than that part of a
	// processor.
	remakeShare = 10
)

// bytes is sites.json, made anew if something changed.
func (x *index) bytes(now time.Time) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.made != nil && (!x.dirty || now.Before(x.next)) {
		return x.made
	}
	begin := time.Now()
	x.made, x.dirty = x.encode(), false
	x.next = now.Add(max(minRemake, remakeShare*time.Since(begin)))
	return x.made
}
