package namespace

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// ErrBusy means that nothing is known of a name, and that so many others are asked
// for that the registry is not asked for this one, or that its answer is not waited
// for. It is said at once: who waits holds up a worker of a web server, and with it
// the visitors of known sites.
var ErrBusy = errors.New("too many unknown names at once: not waited for")

const (
	// busyEvery is how often it is logged that names are not asked for.
	busyEvery = 10 * time.Second
	// stormAge is for how long nobody waits for an unknown name after there were
	// more than the registry is asked for: about as long as it takes somebody who
	// was turned away to come back, when the answer is here if there was a question.
	stormAge = 2 * time.Second
	// patience is for how long all that ask for unknown names wait together, at
	// first, and patienceShare what part of the time that passes is added to it:
	// what they wait is time of a web server's workers, in which these serve nobody
	// else. Names that the registry answers in 20 ms are waited for, hundreds of them
	// at once; made up names at a registry that takes seconds stop no server for
	// long, however few workers it has.
	patience      = 2 * answerBudget
	patienceShare = 20
	// maxBehind is how many questions are under way that nobody waits for, and
	// behindPace how long each takes at least: a second's questions at once would
	// keep the processors, here and at the registry, from visitors.
	maxBehind  = 4
	behindPace = maxBehind * time.Second / (repositoryQuestions + tagQuestions)
)

// questions bounds how often the registry is asked for names of which nothing
// is known, and how long the answers are waited for. Known tags have a budget of
// their own and are never held up by it.
type questions struct {
	repositories, tags kind
	lists              *budget       // questions for lists of tags
	behind             chan struct{} // slots for questions that nobody waits for
	met                met
	now                func() time.Time

	mu     sync.Mutex
	turned int           // away, since that was last logged
	logged time.Time     // when
	spent  time.Duration // of the patience, or more: those that wait are not called back
	at     time.Time     // when spent was reckoned last
}

// kind is of names that have a budget together.
type kind struct {
	asked     *budget
	strangers *budget // names that come up in a storm: of more than are asked for it goes on
}

func newQuestions() *questions {
	newKind := func(perSecond int) kind { return kind{newBudget(perSecond), newBudget(perSecond)} }
	return &questions{
		repositories: newKind(repositoryQuestions), tags: newKind(tagQuestions),
		lists:  newBudget(listQuestions),
		behind: make(chan struct{}, maxBehind), now: time.Now,
	}
}

// kind is that of names below a repository that is known, or of others.
func (q *questions) kind(known bool) kind {
	if known {
		return q.tags
	}
	return q.repositories
}

// storms tells whether more names come up than are asked for.
func (k kind) storms() bool { return k.asked.refused(stormAge) || k.strangers.refused(stormAge) }

// isStranger tells whether a name, below a repository or other, comes up for the
// first time in a storm. Few of these ever come up again: who makes up names, each
// another, is not to have the registry asked for any.
func (q *questions) isStranger(known bool, repo, key string) bool {
	k, now := q.kind(known), q.now()
	if !k.storms() || q.met.vouchedFor(repo, now) {
		return false
	}
	back, first := q.met.meet(key, now)
	if first {
		k.strangers.take() // if there are too many it storms on
	}
	return !back
}

// enter tells whether there is patience to wait for an answer; leave says that it
// was waited for.
func (q *questions) enter() (leave func(), ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	began := q.reckon()
	return func() { q.waitedSince(began) }, q.spent < patience
}

func (q *questions) waitedSince(began time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.reckon()
	q.spent = min(q.spent+now.Sub(began), 2*patience) // so that it is earned back before long
}

// reckon takes what was earned off what was spent. The caller holds mu.
func (q *questions) reckon() (now time.Time) {
	now = q.now()
	q.spent = max(q.spent-now.Sub(q.at)/patienceShare, 0)
	q.at = now
	return now
}

// question is one about an unknown name.
type question struct {
	repo string    // that the name is below, or other
	key  string    // one of each is asked at a time
	till time.Time // when nobody waits for the answer any more; zero: as long as the context lasts
	// listed is set if the registry has it on a list: it is no stranger then.
	listed bool
}

// inquire has work ask the registry about an unknown name, and waits for the answer.
// Where it may not, the question is asked all the same, behind: work keeps what it
// learns, for whoever comes back. In a storm it is asked only for who came back
// already, and waited for only if nothing else is asked behind. The error of who does
// not wait is ErrBusy.
func (l *Live) inquire(ctx context.Context, q question, work func(context.Context) (any, error)) (any, error) {
	if err := l.health.Check(q.repo); err != nil {
		return nil, err // why it is away says more than that there is no time
	}
	known := l.names.isRepository(q.repo)
	if !q.listed && l.questions.isStranger(known, q.repo, q.key) {
		l.questions.turnAway()
		return nil, ErrBusy
	}
	leave, patient := l.questions.enter()
	if patient && !l.questions.kind(known).storms() {
		defer leave()
		return l.await(ctx, q, work)
	}
	select {
	case l.questions.behind <- struct{}{}:
	default:
		l.questions.turnAway()
		return nil, ErrBusy
	}
	pace := time.After(behindPace)
	if patient && len(l.questions.behind) == 1 {
		defer l.behind(func() { l.leaveSlot(pace) })
		defer leave()
		return l.await(ctx, q, work)
	}
	l.behind(func() {
		_, _ = l.loader.Do(l.ctx, q.key, work) // what it says was kept
		l.leaveSlot(pace)
	})
	return nil, ErrBusy
}

// await asks a question, once however many do, and waits for the answer.
func (l *Live) await(ctx context.Context, q question, work func(context.Context) (any, error)) (any, error) {
	if !q.till.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, q.till)
		defer stop()
	}
	return l.loader.Do(ctx, q.key, work)
}

// leaveSlot lets another question behind begin, at its pace.
func (l *Live) leaveSlot(pace <-chan time.Time) {
	select {
	case <-pace:
	case <-l.ctx.Done():
	}
	<-l.questions.behind
}

// admit takes one question out of the budget, of names below a repository that
// is known or of others. The error is ErrBusy.
func (q *questions) admit(known bool) error {
	if q.kind(known).asked.take() {
		return nil
	}
	q.turnAway()
	return ErrBusy
}

// turnAway notes that somebody was.
func (q *questions) turnAway() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turned++
	if now := q.now(); now.Sub(q.logged) >= busyEvery {
		slog.Warn("more unknown names than the registry is asked for", "event", "names_over_budget", "turned_away", q.turned)
		q.turned, q.logged = 0, now
	}
}

// admitTag admits the question for a tag of which nothing is known.
func (l *Live) admitTag(r ref) error {
	if l.isShown(r) {
		return nil
	}
	return l.questions.admit(l.names.isRepository(r.repo))
}

// listedAge is how old the registry's list of all repositories may be to say
// that a name is none, when the registry is not asked for the name itself. The
// list is read again after a refresh while names are missed.
func (l *Live) listedAge() time.Duration { return min(2*l.refresh, catalogFresh) }

// awaitList waits for the first list of all repositories, until some time: without
// it nobody knows whether a name is a folder above some. Names that are there never
// wait for one.
func (l *Live) awaitList(ctx context.Context, till time.Time) error {
	select {
	case <-l.listed:
		return nil
	default:
	}
	ctx, cancel := context.WithDeadline(ctx, till)
	defer cancel()
	select {
	case <-l.listed:
		return nil
	case <-ctx.Done():
		return errNotListed
	}
}

var errNotListed = errors.New("the registry is still listing its repositories: the name may be a folder above some")
