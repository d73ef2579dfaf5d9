package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Key names a content: the SHA-256 of its bytes.
type Key = [32]byte

// The kinds of errors that storing has besides those of the file system. None
// of them leaves anything behind, and none is a reason to fail: what cannot be
// kept can still be served.
var (
	// ErrCorrupt means that the data are not what the key names.
	ErrCorrupt = errors.New("content does not match its digest")
	// ErrFull means that the cache takes nothing more right now: its limit is
	// reached and eviction finds nothing to remove, the disk is full or
	// read-only, or the content is larger than the whole cache.
	ErrFull = errors.New("no room in the cache")
)

// Store is a cache in a folder. All methods may be called at any time by
// anyone, and fail with fs.ErrClosed after Close.
type Store struct {
	dir          *folder
	scratch      *scratch
	open         *openFiles
	segments     *segments
	recent       *recent
	pins         pins
	held         held
	lately       lately
	limit        int64 // bytes
	small        int64 // bytes of the largest content that goes into a segment
	maxDocuments int   // in one folder
	reserve      int64 // bytes of the file system that stay free
	now          func() time.Time
	log          *slog.Logger
	quiet        throttle // for complaints about the disk, which would repeat with every call

	usage usage
	round round
	stop  context.CancelFunc
	done  sync.WaitGroup

	hits, misses, damages, refused, evicted, evictedBytes atomic.Int64
}

// Stats says how a cache is doing. Counts begin at Open.
type Stats struct {
	Bytes        int64 // in use, documents included; a lower bound until the folder was walked once
	Files        int64 // contents, without documents
	Limit        int64 // bytes
	Hits         int64 // reads that found their content
	Misses       int64 // reads that did not
	Damaged      int64 // files and contents that were dropped because they were not what their name says
	Refused      int64 // contents and documents that found no room
	Evicted      int64 // contents
	EvictedBytes int64
}

// Open opens the cache in dir, which is created if it is not there. At most
// limit bytes are kept. A dir that others can write to, or that is not the
// caller's own, is refused. The files of earlier processes are counted in the
// background.
func Open(dir string, limit int64) (*Store, error) {
	s, err := open(dir, limit)
	if err != nil {
		return nil, err
	}
	s.start()
	return s, nil
}

// open is Open without the background work, so that tests can set the clock.
func open(dir string, limit int64) (*Store, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("cache %s: a limit of %d bytes keeps nothing: give a larger one", dir, limit)
	}
	d, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir:          d,
		open:         newOpenFiles(),
		recent:       newRecent(),
		pins:         pins{sets: map[string]map[Key]struct{}{}},
		limit:        limit,
		small:        verifyWhole,
		maxDocuments: maxDocuments,
		now:          time.Now,
		log:          slog.Default().With("cache", dir),
		stop:         func() {},
	}
	if s.scratch, err = newScratch(d); err != nil {
		return nil, errors.Join(fmt.Errorf("cache %s: %w", dir, err), d.close())
	}
	if s.segments, err = newSegments(d, s.scratch, &s.usage, limit); err != nil {
		return nil, errors.Join(fmt.Errorf("cache %s: %w", dir, err), s.scratch.close(), d.close())
	}
	s.segments.refresh(context.Background(), scanAtOnce)
	s.reserve = d.reserve()
	s.round.init()
	s.held.init()
	return s, nil
}

// start begins the background work.
func (s *Store) start() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.done.Go(func() { s.keepSmall(ctx) })
}

// Close stops the background work and closes all files. What is being read or
// written may fail with fs.ErrClosed.
func (s *Store) Close() error {
	s.stop()
	s.done.Wait()
	s.round.close()
	s.open.close()
	s.lately.clear()
	s.segments.close()
	return errors.Join(s.scratch.close(), s.dir.close())
}

// Stats tells how the cache is doing.
func (s *Store) Stats() Stats {
	bytes, files := s.usage.get()
	return Stats{
		Bytes: bytes, Files: files + s.segments.count(), Limit: s.limit,
		Hits: s.hits.Load(), Misses: s.misses.Load(),
		Damaged: s.damages.Load(), Refused: s.refused.Load(),
		Evicted: s.evicted.Load(), EvictedBytes: s.evictedBytes.Load(),
	}
}

// Temp is a file without a name on the cache's file system, for bytes that are
// on their way, such as a blob that is being indexed. It is gone when it is
// closed, and does not count into the cache's size. ErrFull means that the disk
// has no room.
func (s *Store) Temp() (*os.File, error) {
	if _, free := s.dir.space(); free < s.reserve {
		return nil, s.noRoom(fmt.Errorf("%d bytes are free on the disk and %d stay free: %w", free, s.reserve, ErrFull))
	}
	f, err := s.scratch.anonymous()
	if err != nil {
		return nil, s.noRoom(err)
	}
	return f, nil
}
