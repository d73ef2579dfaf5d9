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
	names []metName
}

type metName struct {
	hash uint64
	at   time.Time
}

// meet tells whether a name comes back, or comes up first.
func (m *met) meet(name string, now time.Time) (back, first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names == nil {
		m.seed, m.names = maphash.MakeSeed(), make([]metName, maxMet)
	}
	n, hash := m.place(name)
	if n.hash != hash {
		*n = metName{hash, now}
		return false, true
	}
	return now.Sub(n.at) >= visit, false
}

// place is where a name is, or would be. The caller holds mu.
func (m *met) place(name string) (n *metName, hash uint64) {
	hash = maphash.String(m.seed, name)
	return &m.names[hash%maxMet], hash
}

// vouch notes a repository that was found.
func (m *met) vouch(repo string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names == nil {
		return // there was no storm yet
	}
	n, hash := m.place(below + repo)
	*n = metName{hash, now}
}

// vouchedFor tells whether a repository was found lately.
func (m *met) vouchedFor(repo string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names == nil {
		return false
	}
	n, hash := m.place(below + repo)
	return n.hash == hash && now.Sub(n.at) < vouchAge
}

// below tells names of repositories that are vouched for from those that were met.
const below = "below "
