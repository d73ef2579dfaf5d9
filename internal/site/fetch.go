package site

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/registry"
)

// Requests for blobs that are under way at once: of one layer, so that one that
// does not come leaves room for the others, and in all.
const (
	requestsPerBlob = 4
	requestsAtOnce  = 64
)

// place is where a member lies, in whatever site of a repository it is used. What
// keeps us from one repository says nothing of another that has the same blob.
type place struct {
	repo   string
	blob   digest.Digest
	offset int64
}

// place is where a member of s lies.
func (s *Site) place(number uint32) place {
	return place{s.repo, s.blob(number), s.Tree.Member(number).Offset}
}

// blobPlace stands for all of the blob in which a member lies.
func (s *Site) blobPlace(number uint32) place { return place{s.repo, s.blob(number), -1} }

// call is a member that is being fetched. done is closed when it has ended, err
// is then how.
type call struct {
	run  *run // that began it
	done chan struct{}
	err  error
}

// fetches knows what is being fetched, so that nothing is fetched twice at the
// same time, and runs apart from who asked: a caller may leave, the fetch goes
// on for the others.
type fetches struct {
	ctx   context.Context // ends all of them, when the process ends
	slots chan struct{}   // requestsAtOnce
	// unpackers bounds how many members are unpacked beside their transfers: one
	// for each processor.
	unpackers chan struct{}
	// behind bounds, of those, the ones that nobody waits for yet: one processor
	// is left to who reads what is here.
	behind chan struct{}

	waiting atomic.Int32 // who wait for bytes right now
	failed  failures

	mu    sync.Mutex
	calls map[place]*call
	blobs map[digest.Digest]*queue
}

// queue admits a few requests for one blob at once.
type queue struct {
	slots chan struct{} // requestsPerBlob
	users int           // guarded by fetches.mu
}

func newFetches(ctx context.Context) *fetches {
	processors := runtime.GOMAXPROCS(0)
	return &fetches{
		ctx: ctx, slots: make(chan struct{}, requestsAtOnce),
		unpackers: make(chan struct{}, processors), behind: make(chan struct{}, max(1, processors-1)),
		calls: map[place]*call{}, blobs: map[digest.Digest]*queue{}, failed: failures{now: time.Now},
	}
}

// run is a row of members of one layer that one request fetches.
type run struct {
	site  *Site
	layer int
	first uint32
	calls []*call // of the members from first on; nil where somebody else fetches it
	whole bool    // by a GET of all of the blob

	turn, after turn // its own and that of the one before it, if it is ahead of a reader
	wantOnce    sync.Once
	wanted      chan struct{} // closed when somebody waits for it

	doubted *registry.Body // what a mirror sent before, if that is why
}

func newRun(s *Site, layer int, first uint32) *run {
	return &run{site: s, layer: layer, first: first, wanted: make(chan struct{})}
}

// fetch brings the chunks of a member into the store, and those of the members
// after it for which the plan of the layer asks.
func (s *Site) fetch(ctx context.Context, number uint32) error {
	if err := s.content.health.Check(s.about(s.Tree.Member(number).Layer)...); err != nil {
		return err
	}
	if err := s.content.fetches.failed.check(s.place(number), s.blobPlace(number)); err != nil {
		return Promised(err)
	}
	c := s.claim(number)
	c.run.want()
	s.content.fetches.waiting.Add(1)
	defer s.content.fetches.waiting.Add(-1)
	select {
	case <-c.done:
		return Promised(c.err)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("%w: still waiting for bytes of layer %s", registry.ErrUnavailable, s.blob(number))
		}
		return ctx.Err()
	}
}

// blob is the layer in which a member lies.
func (s *Site) blob(number uint32) digest.Digest {
	return s.layers[s.Tree.Member(number).Layer].Digest
}

// about says of what it is whether the registry answers: see Health.
func (s *Site) about(layer int) []string { return []string{s.repo, s.layers[layer].Digest.String()} }

// check is why no more of the layer of a run is to be fetched, or nil.
func (r *run) check() error { return r.site.content.health.Check(r.site.about(r.layer)...) }

// claim gives the call of a member; if nobody fetches it yet it starts a run
// that does.
func (s *Site) claim(number uint32) *call {
	f := s.content.fetches
	for {
		if c := f.find(s, number); c != nil {
			return c
		}
		r := s.runFor(number)
		s.trim(r)
		if len(r.calls) == 0 {
			continue // somebody was faster
		}
		var own *call
		if i := int(number) - int(r.first); i >= 0 && i < len(r.calls) {
			own = r.calls[i]
		}
		// Whoever fetched it may have ended between our look at the store and
		// the entry of our call.
		if own != nil && s.isLocal(s.Tree.Member(number)) {
			f.drop(r, nil)
			return own
		}
		s.used()
		go r.do()
		if own != nil {
			return own
		}
	}
}

// runFor registers what is to be fetched for a member: it alone, or its layer.
func (s *Site) runFor(number uint32) *run {
	layer := s.Tree.Member(number).Layer
	r, end := newRun(s, layer, number), number+1
	if p := s.planOf(layer); p.whole {
		r.first, end, r.whole = p.first, p.first+p.count, true
	}
	s.content.fetches.register(r, end)
	return r
}

// find is the call of a member that is under way, or nil.
func (f *fetches) find(s *Site, number uint32) *call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[s.place(number)]
}

// register makes the calls of a run that ends before member end, but for those
// that are under way.
func (f *fetches) register(r *run, end uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := r.first; i < end; i++ {
		key := r.site.place(i)
		if f.calls[key] != nil {
			r.calls = append(r.calls, nil)
			continue
		}
		c := &call{run: r, done: make(chan struct{})}
		f.calls[key] = c
		r.calls = append(r.calls, c)
	}
}

// end ends the call of the i-th member of a run, if it is the run's and has not
// ended.
func (f *fetches) end(r *run, i int, err error) {
	c := r.calls[i]
	if c == nil {
		return
	}
	r.calls[i] = nil
	f.mu.Lock()
	delete(f.calls, r.site.place(r.first+uint32(i)))
	f.mu.Unlock()
	c.err = err
	close(c.done)
}

// drop ends all calls of a run that have not ended.
func (f *fetches) drop(r *run, err error) {
	for i := range r.calls {
		f.end(r, i, err)
	}
}

// enter waits for a place among the requests for a blob.
func (f *fetches) enter(ctx context.Context, blob digest.Digest) (leave func(), err error) {
	f.mu.Lock()
	q := f.blobs[blob]
	if q == nil {
		q = &queue{slots: make(chan struct{}, requestsPerBlob)}
		f.blobs[blob] = q
	}
	q.users++
	f.mu.Unlock()
	gone := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if q.users--; q.users == 0 {
			delete(f.blobs, blob)
		}
	}
	for _, slots := range []chan struct{}{q.slots, f.slots} {
		select {
		case slots <- struct{}{}:
			defer func() {
				if err != nil {
					<-slots
				}
			}()
		case <-ctx.Done():
			gone()
			return nil, ctx.Err()
		}
	}
	return func() { <-f.slots; <-q.slots; gone() }, nil
}

// unpacker waits for a processor to unpack on.
func (f *fetches) unpacker(ahead bool) (leave func()) {
	if !ahead {
		f.unpackers <- struct{}{}
		return func() { <-f.unpackers }
	}
	f.behind <- struct{}{}
	f.unpackers <- struct{}{}
	return func() { <-f.unpackers; <-f.behind }
}

// do fetches the members of a run; each can be used as soon as it has come.
func (r *run) do() {
	f := r.site.content.fetches
	ctx, cancel := context.WithTimeout(f.ctx, fetchTimeout)
	defer cancel()
	began, end := time.Now(), r.first+uint32(len(r.calls))
	err := r.transfer(ctx)
	r.site.content.health.Note(err, r.site.about(r.layer)...)
	r.site.content.costs.note(r.site, r.first, end, costOf(began, err))
	if err == nil {
		err = errors.New("the registry sent less than was asked for")
	}
	r.remember(err)
	f.drop(r, err)
}

// remember notes why members did not come, or for all of a blob why some did not: a
// layer that is fetched as a whole may have more of them than are remembered.
func (r *run) remember(err error) {
	failed := &r.site.content.fetches.failed
	for i, c := range r.calls {
		switch {
		case c == nil: // it came
		case r.whole:
			failed.note(r.site.blobPlace(r.first), err)
			return
		default:
			failed.note(r.site.place(r.first+uint32(i)), err)
		}
	}
}

func (r *run) transfer(ctx context.Context) error {
	l := r.site.layers[r.layer]
	leave, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if r.doubted != nil {
		ctx = registry.WithoutMirrors(ctx)
	}
	body, err := r.open(ctx, l.Digest, l.Size)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := r.await(ctx, r.after.read); err != nil {
		return err
	}
	return r.unpack(body)
}

// open asks for the bytes of the run. A registry may send all of the blob in
// their place, which is a gift: all of it is kept.
func (r *run) open(ctx context.Context, blob digest.Digest, size int64) (*registry.Body, error) {
	s := r.site
	if !r.whole {
		from := s.Tree.Member(r.first).Offset
		last := s.Tree.Member(r.first + uint32(len(r.calls)) - 1)
		return s.content.registry.Range(ctx, s.repo, blob, size, from, last.Offset+last.Size-from)
	}
	return s.content.registry.Blob(ctx, s.repo, blob, size)
}

// unpack keeps the content of the members that lie in what came of the blob. A
// damaged member does not spoil the others. Small members are unpacked beside
// the transfer, on all processors.
func (r *run) unpack(body *registry.Body) error {
	u := unpacking{run: r, body: body}
	defer u.finish()
	p := &r.site.plans[r.layer]
	at, end := body.Offset, body.Offset+body.Length
	for i := p.first; i < p.first+p.count; i++ {
		m := r.site.Tree.Member(i)
		if m.Offset < at || m.Offset+m.Size > end {
			continue
		}
		if _, err := io.CopyN(io.Discard, body, m.Offset-at); err != nil {
			return err
		}
		at = m.Offset + m.Size
		take := u.takeBeside
		if m.Size > maxHeld {
			take = u.take
		}
		if err := take(i, m); err != nil {
			return err
		}
		u.retry()
	}
	return nil
}

// again fetches a member of a run once more, from the registry itself: what came
// from a mirror is not what it should be.
func (r *run) again(index int, doubted *registry.Body) {
	if r.calls[index] == nil {
		return
	}
	next := newRun(r.site, r.layer, r.first+uint32(index))
	next.calls, next.doubted = []*call{r.calls[index]}, doubted
	r.calls[index] = nil // and so does not end here
	go next.do()
}
