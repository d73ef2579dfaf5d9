package namespace

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// maxMet is how many names are remembered that came up in a storm, about: each
	// has one place to be in, and takes it from whoever had it. Of a storm of 2,000
	// names a second nine in ten are remembered for the three seconds after which a
	// person has tried again. They take 1 MiB, from the first storm on.
	maxMet = 1 << 16
	// visit is how long somebody takes at least to come back, who is told to do so
	// after a second. What comes up again sooner is part of the same visit: nginx
	// looks for a page and for its gzip form.
	visit = time.Second / 2
	// vouchAge is for how long names below a repository are no strangers after it was
	// found for somebody who came back: the next name of the path is asked for then.
	vouchAge = 10 * time.Second
)

// met are names that came up in a storm lately.
type met struct {
	mu    sync.Mutex
	seed  maphash.Seed // so that nobody can choose names that push another out
	began time.Time
	names []metName // nil before the first storm
}

type metName struct {
	hash uint64
	at   time.Duration // when, since it all began
}

// meet tells whether a name comes back, or comes up first.
func (m *met) meet(name string, now time.Time) (back, first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names == nil {
		m.seed, m.began, m.names = maphash.MakeSeed(), now, make([]metName, maxMet)
	}
	age, known := m.age(name, now)
	if !known {
		m.note(name, now)
	}
	return known && age >= visit, !known
}

// vouch notes a repository that was found.
func (m *met) vouch(repo string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names != nil {
		m.note(below+repo, now)
	}
}

// vouchedFor tells whether a repository was found lately.
func (m *met) vouchedFor(repo string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	age, known := m.age(below+repo, now)
	return known && age < vouchAge
}

// below tells names of repositories that are vouched for from those that were met.
const below = "below "

// note keeps a name in its place, and age tells for how long it has been there. The
// caller holds mu.
func (m *met) note(name string, now time.Time) {
	hash := maphash.String(m.seed, name)
	m.names[hash%maxMet] = metName{hash, now.Sub(m.began)}
}

func (m *met) age(name string, now time.Time) (age time.Duration, known bool) {
	if m.names == nil {
		return 0, false
	}
	hash := maphash.String(m.seed, name)
	n := m.names[hash%maxMet]
	return now.Sub(m.began) - n.at, n.hash == hash
}
