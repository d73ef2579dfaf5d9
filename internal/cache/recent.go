package cache

import (
	"sync"
	"time"
)

const (
	// recentWindow is how long after a read a content is not evicted, at least:
	// the kernel reads a file in many pieces, and a browser fetches a page in
	// many requests. At most it is twice as long.
	recentWindow = 5 * time.Second
	// recentMax bounds each of the two sets: some 3 MiB of memory. Beyond it
	// keys are forgotten early, which costs a fetch at worst.
	recentMax = 1 << 16
)

// recent knows which contents were read within the last seconds: a set that is
// being filled, and the one before it.
type recent struct {
	mu          sync.Mutex // guards all below
	began       time.Time
	keys, older map[Key]struct{}
}

func newRecent() *recent {
	return &recent{keys: map[Key]struct{}{}, older: map[Key]struct{}{}}
}

func (r *recent) add(k Key, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	r.keys[k] = struct{}{}
}

func (r *recent) has(k Key, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	_, a := r.keys[k]
	_, b := r.older[k]
	return a || b
}

// turn begins a new set when the current one is old or full.
func (r *recent) turn(now time.Time) {
	age := now.Sub(r.began)
	if age < recentWindow && len(r.keys) < recentMax {
		return
	}
	r.keys, r.older = r.older, r.keys
	clear(r.keys)
	if age >= 2*recentWindow {
		clear(r.older)
	}
	r.began = now
}

// throttle lets one of many equal complaints through per minute.
type throttle struct {
	mu   sync.Mutex
	last time.Time
}

func (t *throttle) ok(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.last.IsZero() && now.Sub(t.last) < time.Minute {
		return false
	}
	t.last = now
	return true
}
