package registry

import (
	"sync/atomic"
	"time"
)

// memory is a fact that is believed for a while.
type memory struct{ end atomic.Int64 } // Unix nanoseconds

func (m *memory) until(t time.Time) { m.end.Store(t.UnixNano()) }

func (m *memory) holds(now time.Time) bool { return now.UnixNano() < m.end.Load() }
