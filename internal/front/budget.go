package front

import (
	"context"
	"sync"
	"time"
)

// How many requests a second gathering may cost a registry, on average: one of
// one's own, and one that serves the world.
const (
	ownRate    = 100
	publicRate = 10
)

// budget spreads requests over time.
type budget struct {
	now func() time.Time

	mu   sync.Mutex
	next time.Time // when the next request may go out
}

// enter waits for its turn at a rate of requests a second.
func (b *budget) enter(ctx context.Context, rate int) error {
	b.mu.Lock()
	now := b.now()
	if b.next.Before(now) {
		b.next = now
	}
	pause := b.next.Sub(now)
	b.next = b.next.Add(time.Second / time.Duration(rate))
	b.mu.Unlock()
	if pause <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
