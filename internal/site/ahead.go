package site

import "context"

// What is fetched ahead of a reader. Sizes are bytes of the blob.
const (
	// firstWindow and lastWindow are how much is fetched ahead of somebody who
	// reads one member after the other: it doubles with every step, up to what
	// a gigabit line brings in a tenth of a second.
	firstWindow = 128 << 10
	lastWindow  = 8 << 20
	// stepsInARow is after how many steps that is believed. Two neighbours are
	// read one after the other by chance.
	stepsInARow = 2
	// windowsAtOnce is how many requests for one reader are under way, so that
	// none waits for the answer to the last. One place for the blob is left to who
	// waits for something else.
	windowsAtOnce = requestsPerBlob - 1
)

// follow notes that a member is read, and fetches ahead of a reader who goes
// through the layer.
func (s *Site) follow(number uint32) {
	p := &s.plans[s.Tree.Member(number).Layer]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.step(number) {
		s.goAhead(p)
	}
}

// step takes one step of a reader. It tells whether the reader goes through the
// layer, one member after the other.
func (p *plan) step(number uint32) bool {
	switch number {
	case p.last:
		return false
	case p.last + 1:
		p.steps++
	default:
		p.steps, p.ahead = 0, 0
	}
	p.last = number
	return p.steps >= stepsInARow
}

// goAhead asks for what should be on its way now, with the plan locked.
func (s *Site) goAhead(p *plan) {
	for p.windows < windowsAtOnce && p.steps >= stepsInARow {
		from, to := s.nextWindow(p)
		if from == to {
			return
		}
		s.fetchMissing(from, to, func(r *run) error {
			p.windows++
			r.inTurn(p)
			go func() {
				r.do()
				s.cameAhead(p, r)
			}()
			return nil
		})
	}
}

// cameAhead ends a request that was made ahead of a reader, who has gone on
// meanwhile.
func (s *Site) cameAhead(p *plan, r *run) {
	close(r.turn.read)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.windows--
	s.goAhead(p)
}

// nextWindow gives the members, from..to-1, that should be fetched ahead now: as
// many as fill the window, once half of it has been read.
func (s *Site) nextWindow(p *plan) (from, to uint32) {
	window := int64(firstWindow)
	for range min(p.steps-stepsInARow, 10) {
		window = min(2*window, lastWindow)
	}
	begin := s.Tree.Member(p.last).Offset
	end := p.first + p.count
	from = max(p.last+1, p.ahead)
	if from >= end || s.Tree.Member(from).Offset-begin > window/2 {
		return from, from
	}
	for to = from; to < end && s.Tree.Member(to).Offset-begin < window; to++ {
	}
	p.ahead = to
	return from, to
}

// turn is the place of a request in a row of those for one reader. They are on
// their way at once, but what they bring is unpacked in the order in which it is
// read. Each goes into the queue for the blob after the one before it, so that
// none holds a place there for which an earlier one waits. A request for which
// somebody else waits does not wait for its turn.
type turn struct {
	entered chan struct{} // closed when the request is in the queue, or failed
	read    chan struct{} // closed when all was read, likewise
}

// inTurn puts a run behind the latest of its plan, which is locked.
func (r *run) inTurn(p *plan) {
	r.after, r.turn = p.turn, turn{make(chan struct{}), make(chan struct{})}
	p.turn = r.turn
}

// isAhead tells whether a run is ahead of a reader.
func (r *run) isAhead() bool { return r.turn.read != nil }

// want says that somebody waits for what a run brings.
func (r *run) want() { r.wantOnce.Do(func() { close(r.wanted) }) }

// await waits for the one before in a row, if r is in one.
func (r *run) await(ctx context.Context, before chan struct{}) error {
	if before == nil {
		return nil
	}
	select {
	case <-before:
		return nil
	case <-r.wanted:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter waits for a place among the requests for the blob, in its turn.
func (r *run) enter(ctx context.Context) (leave func(), err error) {
	if r.isAhead() {
		defer close(r.turn.entered)
	}
	if err := r.await(ctx, r.after.entered); err != nil {
		return nil, err
	}
	return r.site.content.fetches.enter(ctx, r.site.layers[r.layer].Digest)
}
