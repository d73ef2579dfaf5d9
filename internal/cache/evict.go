package cache

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"math/bits"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// walkInterval is how often the folder is walked when nothing happens, to
	// see what other processes have stored in it.
	walkInterval = 5 * time.Minute
	// walkShare bounds the time that these walks take: one part in so many.
	walkShare = 100
	// lockPoll is how often the lock of eviction is tried: a blocking flock
	// could not be given up.
	lockPoll = 20 * time.Millisecond
	// futileInterval is how long eviction rests after it found too little that
	// may go: all was read within the last seconds, or is not the cache's.
	futileInterval = time.Second
)

// Eviction begins above high and ends at low, in bytes; in between there is
// room for what comes in while it works.
func high(limit int64) int64 { return limit - limit/20 } // 95 %
func low(limit int64) int64  { return limit - limit/10 } // 90 %

// round lets others ask for a round of eviction and wait for its end.
type round struct {
	wanted chan struct{}

	mu     sync.Mutex // guards all below
	end    chan struct{}
	closed bool
	futile time.Time // when a round last ended above high
}

func (r *round) init() {
	r.wanted = make(chan struct{}, 1)
	r.end = make(chan struct{})
}

// kick asks for a round. False means that there is no point: one that has just
// ended found too little to remove.
func (r *round) kick(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || now.Sub(r.futile) < futileInterval {
		return false
	}
	select {
	case r.wanted <- struct{}{}:
	default:
	}
	return true
}

// ended is closed at the end of the round that is under way, or of the next.
func (r *round) ended() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end
}

func (r *round) finish(futile time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.futile = futile
	if !r.closed {
		close(r.end)
		r.end = make(chan struct{})
	}
}

// close lets nobody wait any more.
func (r *round) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		close(r.end)
	}
}

// keepSmall walks the folder, evicts where it is too large, and does so again
// when somebody asks and from time to time.
func (s *Store) keepSmall(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		s.round.finish(s.trim(ctx))
		timer := time.NewTimer(max(walkInterval, walkShare*time.Since(began)))
		select {
		case <-s.round.wanted:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// trim walks the folder and evicts down to low where more than high is in use.
// It returns when it found too little that may go, if so.
func (s *Store) trim(ctx context.Context) (futile time.Time) {
	if !s.dir.lockEviction(ctx) {
		return s.now()
	}
	defer s.dir.unlockEviction()
	s.segments.refresh(ctx, math.MaxInt64)
	ages, ok := s.count(ctx)
	if !ok {
		return s.now()
	}
	limit := s.room()
	used, _ := s.usage.get()
	if excess := used - low(limit); used > high(limit) && s.evict(ctx, ages, excess) < excess {
		return s.now()
	}
	return time.Time{}
}

// lockEviction waits until no other process evicts. False means that ctx ended
// or that there is no locking here.
func (f *folder) lockEviction(ctx context.Context) bool {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := retry(func() error { return unix.Flock(int(f.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err == nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

func (f *folder) unlockEviction() { _ = unix.Flock(int(f.lock.Fd()), unix.LOCK_UN) }

// count walks the folder to see how much is in it and how old it is. What was
// read just now is in use but has no age.
func (s *Store) count(ctx context.Context) (*ages, bool) {
	var a ages
	var bytes, files int64
	a.now = s.now()
	ok := s.dir.walk(ctx, s.usage.enter, func(c content) {
		bytes += c.bytes
		files++
		if !s.stays(c.key, a.now) {
			a.add(c)
		}
	})
	if !ok {
		return nil, false
	}
	a.segments = s.segments.victims(func(k Key) bool { return s.stays(k, a.now) })
	for _, v := range a.segments { // some of it may stay
		a.add(content{bytes: v.bytes - v.bytes/keepPart, modified: v.used})
	}
	s.usage.walked(bytes+s.dir.documentBytes(), files)
	return &a, true
}

// evict removes the oldest contents, excess bytes of them or a little more, and
// returns how many bytes there were.
func (s *Store) evict(ctx context.Context, a *ages, excess int64) (freed int64) {
	oldest, rest := a.cut(excess)
	since := a.began(oldest)
	for _, v := range a.segments {
		age := a.index(content{modified: v.used})
		if age < oldest || age == oldest && rest <= 0 || ctx.Err() != nil {
			break
		}
		n := s.evictSegment(ctx, v, since)
		freed += n
		if age == oldest {
			rest -= n
		}
	}
	s.dir.walk(ctx, func(int) {}, func(c content) {
		age := a.index(c)
		if age < oldest || age == oldest && rest <= 0 || s.stays(c.key, s.now()) {
			return
		}
		if s.evictOne(c) {
			freed += c.bytes
			if age == oldest {
				rest -= c.bytes
			}
		}
	})
	return freed
}

func (s *Store) evictOne(c content) bool {
	err := s.dir.root.Remove(path(c.key))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && s.quiet.ok(s.now()) {
			s.log.Warn("cannot evict", "content", short(c.key), "error", err)
		}
		return false
	}
	s.open.drop(c.key)
	s.usage.removed(c.key, c.bytes)
	s.evicted.Add(1)
	s.evictedBytes.Add(c.bytes)
	return true
}

// ages is how many bytes were last used how long ago: exact below 64 ms, then
// 64 steps for every doubling. It stands for a sorted list of millions of files.
type ages struct {
	now      time.Time
	bytes    [59 * 64]int64
	segments []victim
}

func (a *ages) add(c content) { a.bytes[a.index(c)] += c.bytes }

func (a *ages) index(c content) int {
	ms := uint64(max(0, a.now.Sub(c.modified).Milliseconds()))
	shift := max(0, bits.Len64(ms)-7)
	return shift*64 + int(ms>>shift)
}

// cut finds what to remove for excess bytes: all that is older than oldest,
// and rest bytes of that age.
func (a *ages) cut(excess int64) (oldest int, rest int64) {
	for i := len(a.bytes) - 1; i >= 0; i-- {
		if a.bytes[i] >= excess {
			return i, excess
		}
		excess -= a.bytes[i]
	}
	return -1, 0
}

// began is since when contents have an index up to i, or were used right now.
func (a *ages) began(i int) time.Time {
	shift := max(0, i/64-1)
	if shift > 32 {
		return time.Time{} // before there were computers
	}
	ms := (int64(i-shift*64) + 1) << shift
	return a.now.Add(-max(time.Duration(ms)*time.Millisecond, 2*recentWindow))
}
