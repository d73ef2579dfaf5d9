package site

import (
	"sync"
	"time"
)

const (
	// failureAge is for how long a member that could not be fetched is not fetched
	// again. Who hears of a failure asks at once, and would wait as long as before:
	// the kernel for the page that somebody wants of those that it read ahead, nginx
	// in its next step. The return of a registry is noticed well within the second in
	// which that of an absent one is.
	failureAge = RestAfterFailure / 2
	// maxFailures bounds the table; there are no more at once than reads that fail
	// in a second, and to forget one costs a request.
	maxFailures = 1000
)

// failures remembers what could not be fetched just now, and why.
type failures struct {
	now func() time.Time

	mu sync.Mutex // guards of
	of map[place]failed
}

type failed struct {
	err  error
	till time.Time
}

func (f *failures) note(p place, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil || len(f.of) >= maxFailures {
		f.of = map[place]failed{}
	}
	f.of[p] = failed{err, f.now().Add(failureAge)}
}

// check is why what is at one of the places cannot be fetched, if that was found out
// just now.
func (f *failures) check(places ...place) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range places {
		last, known := f.of[p]
		switch {
		case !known:
		case f.now().Before(last.till):
			return last.err
		default:
			delete(f.of, p)
		}
	}
	return nil
}
