package namespace

import (
	"context"
	"errors"
	"hash/maphash"
	"io/fs"
	"slices"
	"sync"
	"time"
)

const (
	// tagListAge is how old the registry's list of a repository's tags may be to say
	// that there is no such tag, when the registry is not asked for the tag itself. It
	// is read again at half of that while such names come up, of three repositories.
	tagListAge = 2 * absenceAge
	// noListAge is for how long a list is not read again that is of no use: one of
	// several pages, of which the first is read alone, so that it takes a question
	// of the budget and no more; or none at all.
	noListAge = time.Minute
	// maxListedTags bounds the tags that are remembered, of all lists: 1.6 MB.
	maxListedTags = 2 * maxTags
)

// tagLists are the tags of repositories below which names come up that the registry
// is not asked for, by their hashes.
type tagLists struct {
	seed maphash.Seed

	mu   sync.Mutex // guards the rest
	of   map[string]*tagList
	tags int // in all of them
}

type tagList struct {
	since  time.Time // when somebody first wanted it: an older one does not do
	hashes []uint64  // sorted; nil if they are not known
	read   time.Time // when it was asked for
	next   time.Time // when it is to be
}

func newTagLists() *tagLists { return &tagLists{seed: maphash.MakeSeed(), of: map[string]*tagList{}} }

// opinion is what a list says of a tag.
type opinion int

const (
	listUnknown opinion = iota // there is no list, or it is too old
	listLacks
	listHas
)

// ask tells what the list of a repository says of a tag, and whether this caller is
// to read the list again, which take admits.
func (t *tagLists) ask(r ref, now time.Time, take func() bool) (said opinion, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.of[r.repo]
	if list == nil {
		list = &tagList{since: now}
		if len(t.of) >= maxVersionLists {
			t.clear()
		}
		t.of[r.repo] = list
	}
	if due = !now.Before(list.next) && take(); due {
		list.next = now.Add(tagListAge / 2)
	}
	if list.hashes == nil || now.Sub(list.read) >= tagListAge {
		return listUnknown, due
	}
	if _, found := slices.BinarySearch(list.hashes, maphash.String(t.seed, r.tag)); found {
		return listHas, due
	}
	return listLacks, due
}

// set takes over a list that was asked for at some time, or that there is none of use.
func (t *tagLists) set(repo string, tags []string, whole bool, asked, now time.Time) {
	hashes := make([]uint64, 0, len(tags))
	for _, tag := range tags {
		hashes = append(hashes, maphash.String(t.seed, tag))
	}
	slices.Sort(hashes)
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.of[repo]
	if list == nil || asked.Before(list.since) {
		return // there was news of it, or no room
	}
	t.tags -= len(list.hashes)
	if !whole || len(hashes) > maxListedTags {
		list.hashes, list.next = nil, now.Add(noListAge)
		return
	}
	if t.tags+len(hashes) > maxListedTags {
		t.clear()
		t.of[repo] = list
	}
	list.hashes, list.read = hashes, asked
	t.tags += len(hashes)
}

// forget has the list of a repository read again before it says anything.
func (t *tagLists) forget(repo string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if list := t.of[repo]; list != nil {
		t.tags -= len(list.hashes)
		delete(t.of, repo)
	}
}

// clear drops all lists. The caller holds mu.
func (t *tagLists) clear() {
	clear(t.of)
	t.tags = 0
}

// tagListSays tells what the registry's own list says of a tag that it is not asked
// for. The list is read behind, for who comes next.
func (l *Live) tagListSays(r ref) opinion {
	if !l.names.isRepository(r.repo) {
		return listUnknown
	}
	said, due := l.tagLists.ask(r, l.now(), func() bool {
		return l.health.Check(r.repo, "tags") == nil && l.questions.lists.take()
	})
	if due {
		l.behind(func() { l.readTagList(r.repo) })
	}
	return said
}

func (l *Live) readTagList(repo string) {
	_, _ = l.loader.Do(l.ctx, "first tags of "+repo, func(ctx context.Context) (any, error) {
		asked := l.now()
		tags, whole, err := l.registry.FirstTags(ctx, repo, 1)
		l.health.Note(err, repo, "tags")
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			l.tagLists.set(repo, tags, whole && err == nil, asked, l.now())
		}
		return nil, err
	})
}
