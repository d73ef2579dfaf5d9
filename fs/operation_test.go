package fs

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestAnOperationEnds in each way that there is, whether somebody waits or asks only
// afterwards. Contexts that were made from it end with it.
func TestAnOperationEnds(t *testing.T) {
	const soon = 20 * time.Millisecond
	for name, kind := range map[string]struct {
		budget time.Duration
		act    func(o *operation, interrupt func())
		want   error
	}{
		"interrupted":          {time.Hour, func(_ *operation, interrupt func()) { interrupt() }, context.Canceled},
		"ended":                {time.Hour, func(o *operation, _ func()) { o.end() }, context.Canceled},
		"out of time":          {soon, func(*operation, func()) { time.Sleep(2 * soon) }, context.DeadlineExceeded},
		"out of time, ended":   {soon, func(o *operation, _ func()) { time.Sleep(2 * soon); o.end() }, context.DeadlineExceeded},
		"interrupted, ended":   {time.Hour, func(o *operation, interrupt func()) { interrupt(); o.end() }, context.Canceled},
		"out of time at first": {-1, func(*operation, func()) {}, context.DeadlineExceeded},
	} {
		for _, waits := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				cancel := make(chan struct{})
				o := begin(cancel, kind.budget)
				var derived context.Context = o
				if waits {
					if err := o.Err(); err != nil && kind.budget > 0 {
						t.Fatalf("it ended at once: %v", err)
					}
					var stop context.CancelFunc
					derived, stop = context.WithCancel(o)
					defer stop()
				}
				kind.act(o, func() { close(cancel) })
				for _, ctx := range []context.Context{o, derived} {
					select {
					case <-ctx.Done():
					case <-time.After(time.Minute):
						t.Fatal("it never ends")
					}
					for range 2 {
						if got := ctx.Err(); !errors.Is(got, kind.want) {
							t.Errorf("somebody waits: %v: got %v, want %v", waits, got, kind.want)
						}
					}
				}
				if at, ok := o.Deadline(); !ok || time.Until(at) > kind.budget {
					t.Errorf("deadline: got %v, %v", at, ok)
				}
			})
		}
	}
}

// TestAnOperationThatNobodyWaitsForTakesNoGoroutine, nor does one that somebody did
// wait for leave any behind.
func TestAnOperationThatNobodyWaitsForTakesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	var all []*operation
	for range 100 {
		o := begin(make(chan struct{}), time.Hour)
		if o.Err() != nil || o.Value("key") != nil {
			t.Fatal("it ended, or has values")
		}
		all = append(all, o)
	}
	if now := runtime.NumGoroutine(); now > before {
		t.Errorf("got %d goroutines more, want none", now-before)
	}
	for _, o := range all {
		_ = o.Done()
		o.end()
	}
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got %d goroutines more after all have ended", runtime.NumGoroutine()-before)
		}
	}
}

// TestAnOperationIsUsedByMany at once, as fetches do that others joined.
func TestAnOperationIsUsedByMany(t *testing.T) {
	for range 200 {
		cancel := make(chan struct{})
		o := begin(cancel, time.Hour)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { <-o.Done() })
			all.Go(func() {
				ctx, stop := context.WithTimeout(o, time.Hour)
				defer stop()
				<-ctx.Done()
			})
			all.Go(func() {
				for o.Err() == nil {
					runtime.Gosched()
				}
			})
		}
		all.Go(func() { close(cancel) })
		all.Go(o.end)
		all.Wait()
		if err := o.Err(); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want %v", err, context.Canceled)
		}
	}
}
