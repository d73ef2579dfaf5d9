package site

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

// Whoever closes waits for work that nobody waits for any more, and none starts
// after that.
func TestNoWorkIsLeftWhenTheFlightsEnd(t *testing.T) {
	ctx, end := context.WithCancel(context.Background())
	f := &flights{ctx: ctx}
	begun, ended := make(chan struct{}), atomic.Bool{}
	impatient, leave := context.WithCancel(context.Background())
	go func() {
		<-begun
		leave()
	}()
	_, err := f.do(impatient, "work", func(ctx context.Context) (any, error) {
		close(begun)
		<-ctx.Done()
		ended.Store(true)
		return nil, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("who left: got %v", err)
	}
	end()
	f.wait()
	if !ended.Load() {
		t.Error("the work is still under way")
	}
	_, err = f.do(context.Background(), "late", func(context.Context) (any, error) {
		t.Error("work begins after the end")
		return nil, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("too late: got %v", err)
	}
}
