package namespace

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// ErrBusy means that nothing is known of a name, and that the registry was asked
// for so many others in the last second that it is not asked for this one. It is
// said at once: who waits holds up a worker of a web server, and with it the
// visitors of known sites.
var ErrBusy = errors.New("too many unknown names at once: not asked for")

// busyEvery is how often it is logged that names are not asked for.
const busyEvery = 10 * time.Second

// questions bounds how often the registry is asked for names of which nothing
// is known. Known tags have a budget of their own and are never held up by it.
type questions struct {
	repositories, tags *budget

	mu     sync.Mutex
	turned int       // away, since that was last logged
	logged time.Time // when
}

func newQuestions() *questions {
	return &questions{repositories: newBudget(repositoryQuestions), tags: newBudget(tagQuestions)}
}

// admit takes one question out of the budget, of names below a repository that
// is known or of others. The error is ErrBusy.
func (q *questions) admit(known bool) error {
	b := q.repositories
	if known {
		b = q.tags
	}
	if b.take() {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turned++
	if now := b.now(); now.Sub(q.logged) >= busyEvery {
		slog.Warn("more unknown names than the registry is asked for", "event", "names_over_budget", "turned_away", q.turned)
		q.turned, q.logged = 0, now
	}
	return ErrBusy
}

// admitTag admits the question for a tag of which nothing is known.
func (l *Live) admitTag(r ref) error {
	if l.isShown(r) {
		return nil
	}
	return l.questions.admit(l.names.isRepository(r.repo))
}

// admitRepository admits the question for a repository that is not known.
func (l *Live) admitRepository(name string) error {
	dir, _ := parent(name)
	return l.questions.admit(l.names.isRepository(dir))
}

// listedAge is how old the registry's list of all repositories may be to say
// that a name is none, when the registry is not asked for the name itself. The
// list is read again after a refresh while names are missed.
func (l *Live) listedAge() time.Duration { return min(2*l.refresh, catalogFresh) }

// awaitList waits for the first list of all repositories, for a moment: without
// it nobody knows whether a name is a folder above some.
func (l *Live) awaitList(ctx context.Context) error {
	select {
	case <-l.listed:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, firstListWait)
	defer cancel()
	select {
	case <-l.listed:
		return nil
	case <-ctx.Done():
		return errNotListed
	}
}

// firstListWait bounds how long a name that the registry says it does not have
// waits for the first list. Names that are there never wait for one.
const firstListWait = 2 * time.Second

var errNotListed = errors.New("the registry is still listing its repositories: the name may be a folder above some")
