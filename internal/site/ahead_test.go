package site

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regfs/regfs/internal/tree"
)

// isBlob tells whether a request is for a blob of a repository.
func isBlob(r *http.Request, repo string) bool {
	return strings.HasPrefix(r.URL.Path, "/v2/"+repo+"/blobs/")
}

func TestGoingThroughALayerFarAwayTakesFewRequests(t *testing.T) {
	w, files, s := newLargeSite(t)
	var now, most atomic.Int32
	w.SetAnswer(func(_ http.ResponseWriter, r *http.Request) bool {
		if isBlob(r, "app") {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			time.Sleep(20 * time.Millisecond)
		}
		return false
	})
	requests, sent := w.Since(func() {
		for _, name := range inOrder(files) {
			wantRead(t, s, name, files[name])
		}
	})
	if len(requests) > 20 || sent > largeFiles*(11<<10) {
		t.Errorf("got %d requests for %d bytes, want few, and nothing twice", len(requests), sent)
	}
	if most.Load() > requestsPerBlob {
		t.Errorf("got %d requests at once, want %d at most", most.Load(), requestsPerBlob)
	}
}

func TestWhoReadsHereAndThereFetchesNothingElse(t *testing.T) {
	w, files, s := newLargeSite(t)
	var want int64
	requests, sent := w.Since(func() {
		for i := range inUse - 2 { // one more makes it a version in use
			name := fileOf((i*151 + 7) % largeFiles)
			n, _ := s.Tree.Walk(tree.Root, name, true)
			first, _ := s.Tree.Chunks(n)
			if !s.Local(n) {
				want += s.Tree.Member(s.Tree.Chunk(first).Member).Size
			}
			wantRead(t, s, name, files[name])
		}
	})
	if len(requests) > inUse-2 || sent > want {
		t.Errorf("got %d requests for %d bytes, want one for each file and %d bytes", len(requests), sent, want)
	}
}

// TestManyReadersOfOneLayer has more readers than there are places in the queue
// for a blob, each with its own row of requests.
func TestManyReadersOfOneLayer(t *testing.T) {
	w := newWorld(t)
	files := largeSite()
	one := w.openLarge()
	var readers sync.WaitGroup
	for i := range requestsPerBlob + 1 {
		repo := fmt.Sprintf("app%d", i)
		w.Publish(repo, "v1", files)
		l := w.openLarge() // with a store of its own
		l.fetches = one.fetches
		s := w.site(l, repo, "v1")
		readers.Go(func() {
			for _, name := range inOrder(files) {
				wantRead(t, s, name, files[name])
			}
		})
	}
	readers.Wait()
}

func TestWhatIsAheadComesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p plan
		var runs []*run
		var mu sync.Mutex
		var order []string
		note := func(what string, i int) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, fmt.Sprint(what, i))
		}
		for i := range 4 {
			r := newRun(nil, 0, 0)
			r.inTurn(&p)
			runs = append(runs, r)
			go func() {
				if err := r.await(t.Context(), r.after.entered); err != nil {
					t.Error(err)
				}
				note("enter", i)
				close(r.turn.entered)
				if err := r.await(t.Context(), r.after.read); err != nil {
					t.Error(err)
				}
				note("read", i)
			}()
		}
		for i, want := range []string{
			"[enter0 read0 enter1 enter2 enter3]", "[read1]", "[read3]", "[read2]",
		} {
			synctest.Wait()
			slices.SortStableFunc(order, func(a, b string) int { return int(a[len(a)-1]) - int(b[len(b)-1]) })
			if got := fmt.Sprint(order); got != want {
				t.Errorf("step %d: got %s, want %s", i, got, want)
			}
			order = nil
			switch i {
			case 0:
				close(runs[0].turn.read)
			case 1:
				runs[3].want() // somebody waits for it
				runs[3].want()
			case 2:
				close(runs[1].turn.read)
			}
		}
	})
}

func TestWhatIsWaitedForDoesNotWaitForItsTurn(t *testing.T) {
	_, files, s := newLargeSite(t)
	p := &s.plans[0]
	// A row of which the first never comes.
	stuck := newRun(s, 0, 0)
	p.mu.Lock()
	stuck.inTurn(p)
	p.mu.Unlock()
	close(stuck.turn.entered)
	names := inOrder(files)
	member := func(name string) uint32 {
		n, _ := s.Tree.Walk(tree.Root, name, true)
		first, _ := s.Tree.Chunks(n)
		return s.Tree.Chunk(first).Member
	}
	var read []string
	for _, name := range names { // until something is fetched ahead, behind the first
		if member(name) > stepsInARow {
			break
		}
		read = append(read, name)
	}
	for _, name := range read {
		wantRead(t, s, name, files[name])
	}
	p.mu.Lock()
	ahead := p.ahead
	p.mu.Unlock()
	if ahead <= stepsInARow+1 {
		t.Fatalf("nothing is fetched ahead: up to member %d", ahead)
	}
	next := names[len(read)]
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	n, _ := s.Tree.Walk(tree.Root, next, true)
	if err := s.Ready(ctx, n); err != nil {
		t.Errorf("%s, which is fetched ahead: %v", next, err)
	}
}
