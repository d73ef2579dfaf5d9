package site

import (
	"time"

	"github.com/regfs/regfs/registry"
)

// newsRepeats are the pauses, the last first, after which a tag of which there
// is news is asked for again: docker-registry sends word of a push before it has
// written the tag.
var newsRepeats = [...]time.Duration{time.Second, 300 * time.Millisecond, 100 * time.Millisecond, 30 * time.Millisecond}

// News says that a tag may mean something else now, or if tag is "", that any
// tag of the repository may. Nothing of it is believed: tags in use are checked
// with the registry at once, others when somebody looks. It does not wait.
func (l *Live) News(repo, tag string) {
	if !l.names.allowed(repo) || tag != "" && !registry.ValidTag(tag) {
		return
	}
	l.checkSoon(repo, tag)
	l.forgetAbsence(repo, tag)
	select {
	case l.news <- struct{}{}:
	default: // it is to come by already
	}
}

// checkSoon makes it the turn of the tags of which there is news.
func (l *Live) checkSoon(repo, name string) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	soon := func(t *tag) {
		t.next, t.repeats = now, len(newsRepeats)
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
	for name := repo; name != "" && !l.names.isFolder(name); name, _ = parent(name) {
		l.absent.forget(name)
		l.tell(parent(name))
	}
}

// tell tells that name in the folder dir means something else now.
func (l *Live) tell(dir, name string) {
	l.mu.Lock()
	changed := l.changed
	l.mu.Unlock()
	changed(dir, name)
}
