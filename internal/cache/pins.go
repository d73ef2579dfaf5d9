package cache

import (
	"iter"
	"sync"
	"time"
)

// pins are contents that this process does not evict, whatever their age. Each
// owner has a set; a content may be in several.
type pins struct {
	mu   sync.RWMutex // guards sets
	sets map[string]map[Key]struct{}
}

// Pin keeps keys from eviction until the owner pins others, or none. The keys
// need not be there yet. What is pinned counts into the limit: when it fills all
// of it, storing anything else fails with ErrFull. Other processes that use the
// folder know nothing of it.
func (s *Store) Pin(owner string, keys iter.Seq[Key]) {
	set := map[Key]struct{}{}
	for k := range keys {
		set[k] = struct{}{}
	}
	s.pins.mu.Lock()
	defer s.pins.mu.Unlock()
	delete(s.pins.sets, owner)
	if len(set) > 0 {
		s.pins.sets[owner] = set
	}
}

func (p *pins) has(k Key) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, set := range p.sets {
		if _, ok := set[k]; ok {
			return true
		}
	}
	return false
}

// stays tells whether a content must not be evicted: it is pinned, or somebody
// reads it right now.
func (s *Store) stays(k Key, now time.Time) bool { return s.pins.has(k) || s.recent.has(k, now) }
