package namespace

import (
	"sync"
	"time"
)

const (
	// checksPerSecond is what following tags may cost the registry, however many
	// are in use: a tenth of what a docker-registry on two cores answers. 500
	// tags are then as fresh as a refresh of 10 s promises; of more each waits
	// longer for its turn.
	checksPerSecond = 50
	// nameQuestions is how many times a second the registry is asked for names of
	// which nothing is known, below the root and folders, and below repositories.
	// Scanners ask for thousands; a docker-registry on two cores answers some 400.
	// They are counted apart, so that who makes up repositories keeps nobody from
	// finding a tag that was pushed just now. listQuestions are for lists of tags,
	// which answer for thousands of names. Together they are at most 50, with
	// something left for what each question may bring with it.
	repositoryQuestions = 20
	tagQuestions        = 25
	listQuestions       = 3
)

// budget admits so many of something in any second, not only on the average: a
// registry counts them like this too.
type budget struct {
	now func() time.Time

	mu   sync.Mutex
	last []time.Time // of those admitted, as a ring
	next int
	over time.Time // when there was none left
}

func newBudget(perSecond int) *budget {
	return &budget{now: time.Now, last: make([]time.Time, perSecond)}
}

// take takes one, if there is one left. It never waits.
func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if now.Sub(b.last[b.next]) < time.Second {
		b.over = now
		return false
	}
	b.last[b.next] = now
	b.next = (b.next + 1) % len(b.last)
	return true
}

// refused tells whether there was none left at some time within age.
func (b *budget) refused(age time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now().Sub(b.over) < age
}
