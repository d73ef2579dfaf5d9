package namespace

import (
	"sync"
	"time"
)

const (
	// absenceAge is how long "the registry does not have it" is believed, and
	// so how late a name that was asked for too early shows up.
	absenceAge = time.Second
	// maxAbsences bounds the table. Scanners ask for more names than that in a
	// second; the oldest make way.
	maxAbsences = 10_000
)

// absences are names that the registry said lately it does not have.
type absences struct {
	now func() time.Time

	mu   sync.Mutex
	till map[string]time.Time
}

func (a *absences) holds(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now().Before(a.till[name])
}

func (a *absences) add(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.till == nil || len(a.till) >= maxAbsences {
		a.sweep()
	}
	a.till[name] = a.now().Add(absenceAge)
}

// forget has a name asked for again.
func (a *absences) forget(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.till, name)
}

// sweep makes room: it drops what has passed, or all if nothing has.
func (a *absences) sweep() {
	kept := map[string]time.Time{}
	for name, till := range a.till {
		if a.now().Before(till) {
			kept[name] = till
		}
	}
	if len(kept) >= maxAbsences {
		kept = map[string]time.Time{}
	}
	a.till = kept
}
