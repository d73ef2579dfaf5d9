package namespace

import (
	"time"

	"github.com/regfs/regfs/registry"
)

// newsRepeats are the pauses, the last first, after which a tag of which there
// is news is asked for again while nothing new is seen: docker-registry sends
// word of a push before it has written the tag, and how long that takes is its
// disk's business.
var newsRepeats = [...]time.Duration{
	time.Second, 500 * time.Millisecond, 200 * time.Millisecond, 100 * time.Millisecond,
	50 * time.Millisecond, 25 * time.Millisecond, 15 * time.Millisecond,
}

// learnAtOnce bounds the unknown repositories that are asked for because there
// is news of them.
const learnAtOnce = 16

// News says that a tag may mean something else now, or if tag is "", that any
// tag of the repository may. Nothing of it is believed: tags in use are checked
// with the registry at once, others when somebody looks. It does not wait.
func (l *Live) News(repo, tag string) {
	if !l.names.allowed(repo) || tag != "" && !registry.ValidTag(tag) {
		return
	}
	l.checkSoon(repo, tag)
	l.forgetAbsence(repo, tag)
	l.tagLists.forget(repo)
	l.newsOfAliases(repo)
	l.wakeFollow()
}

// checkSoon makes it the turn of the tags of which there is news.
func (l *Live) checkSoon(repo, name string) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	soon := func(t *tag) {
		t.next, t.news, t.repeats = now, now, len(newsRepeats)
		if !l.followed(t, now) {
			t.checked = time.Time{} // whoever looks next waits for an answer
		}
	}
	if name != "" {
		if t := l.tags[ref{repo, name}]; t != nil {
			soon(t)
		}
		return
	}
	for r, t := range l.tags {
		if r.repo == repo {
			soon(t)
		}
	}
}

// forgetAbsence has names asked for again that were not there, here and in the
// kernel: the tag, its repository, and the folders above it.
func (l *Live) forgetAbsence(repo, tag string) {
	if tag != "" {
		r := ref{repo, tag}
		l.absent.forget(r.String())
		l.absent.forget(repo + "/" + tag)
		if !l.isShown(r) {
			l.announce(r)
		}
	}
	if l.names.isRepository(repo) {
		return
	}
	l.tellFolders(l.unknownFolders(repo))
	select {
	case l.learning <- struct{}{}:
		l.behind(func() {
			defer func() { <-l.learning }()
			l.learn(repo)
		})
	default: // whoever looks it up asks for it
	}
}

// unknownFolders are the repository and the folders above it, as far as no other
// repository makes them known.
func (l *Live) unknownFolders(repo string) (folders []string) {
	for name := repo; name != "" && !l.names.isFolder(name); name, _ = parent(name) {
		folders = append(folders, name)
	}
	return folders
}

// tellFolders tells that folders may be there now.
func (l *Live) tellFolders(folders []string) {
	for _, name := range folders {
		l.absent.forget(name)
		l.tell(parent(name))
	}
}

// learn asks for a repository of which there is news, and which nobody knows yet:
// the folders above it cannot be looked up before.
func (l *Live) learn(repo string) {
	for i := len(newsRepeats) - 1; i >= 0; i-- {
		if l.checks.take() && l.health.Check(repo) == nil {
			is, err := l.registry.HasRepository(l.ctx, repo)
			l.health.Note(err, repo)
			if is {
				folders := l.unknownFolders(repo)
				l.names.add(repo)
				l.tellFolders(folders)
				l.markDirty()
				return
			}
		}
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(newsRepeats[i]):
		}
	}
}

// tell tells that name in the folder dir means something else now.
func (l *Live) tell(dir, name string) {
	l.mu.Lock()
	changed := l.changed
	l.mu.Unlock()
	changed(dir, name)
}
