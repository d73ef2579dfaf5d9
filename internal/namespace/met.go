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
	hash := maphash.String(m.seed, name)
	n := &m.names[hash%maxMet]
	if n.hash != hash {
		*n = metName{hash, now}
		return false, true
	}
	return now.Sub(n.at) >= visit, false
}
