package registry

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// memory is a fact that is believed for a while.
type memory struct{ end atomic.Int64 } // Unix nanoseconds

func (m *memory) until(t time.Time) { m.end.Store(t.UnixNano()) }

func (m *memory) holds(now time.Time) bool { return m.left(now) > 0 }

// left is for how long it is still believed, if that is more than 0.
func (m *memory) left(now time.Time) time.Duration {
	return time.Duration(m.end.Load() - now.UnixNano())
}

// randomPart is a random time from 0 to most.
func randomPart(most time.Duration) time.Duration { return rand.N(most + 1) }
