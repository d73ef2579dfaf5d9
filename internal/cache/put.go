package cache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// evictionWait is how long a Put waits for eviction to make room. A round over
// a million files takes seconds; a caller who waits longer than a fetch takes
// is better served without the cache.
const evictionWait = 2 * time.Second

// Put keeps data as the content k. ErrCorrupt means that data is not that;
// every other error only means that it was not kept, ErrFull that there was no
// room. It can be read for a moment all the same. When the cache is full, Put
// waits a little for eviction.
func (s *Store) Put(k Key, data []byte) error {
	if sha256.Sum256(data) != k {
		return fmt.Errorf("content %s: %w", short(k), ErrCorrupt)
	}
	return s.PutVerified(k, data)
}

// PutVerified is Put for who has just compared the data with k.
func (s *Store) PutVerified(k Key, data []byte) error { return s.put(k, data, nil) }

// put keeps a content, and the mark that goes with it if there is one. What finds
// no room is held for a moment.
func (s *Store) put(k Key, data []byte, mark *Key) error {
	there, err := s.keep(k, data, mark)
	if err == nil {
		return nil
	}
	if !there {
		s.held.add(k, data, s.now())
	}
	if mark != nil {
		s.held.add(*mark, nil, s.now())
	}
	return s.noRoom(fmt.Errorf("content %s: %w", short(k), err))
}

// keep puts on the disk what is not there of a content and its mark, with one
// write if it is small. It tells whether the content is there.
func (s *Store) keep(k Key, data []byte, mark *Key) (there bool, err error) {
	fresh, now := make([]freshRecord, 0, 2), seconds(s.now())
	switch small := int64(len(data)) <= s.small; {
	case s.touched(k):
	case small:
		fresh = append(fresh, freshRecord{k, data, now})
	default:
		if err := s.putLarge(k, data); err != nil {
			return false, err
		}
	}
	there = len(fresh) == 0
	if mark != nil && s.touchMark(*mark) != nil {
		fresh = append(fresh, freshRecord{*mark, nil, now})
	}
	return there, s.putRecords(fresh)
}

// touched notes that a content is used, if it is in a segment.
func (s *Store) touched(k Key) bool {
	r, _, err := s.segments.find(k)
	if err == nil {
		s.touchRecord(k, r)
	}
	return err == nil
}

// putLarge keeps a content as a file, unless it is there.
func (s *Store) putLarge(k Key, data []byte) error {
	size, modified, ok := s.dir.has(k)
	if ok && size == int64(len(data)) {
		s.touch(k, modified)
		return nil
	}
	if err := s.putFile(k, data); err != nil {
		return err
	}
	if ok { // it had another size: damaged, and replaced now
		s.usage.removed(k, onDisk(size))
	}
	return nil
}

func (s *Store) putRecords(fresh []freshRecord) error {
	if len(fresh) == 0 {
		return nil
	}
	var need int64
	for _, r := range fresh {
		need += r.size()
	}
	return s.taking(need, func() error { return s.segments.append(fresh, nil) })
}

// putAll is putRecords for records that lie one after another in b.
func (s *Store) putAll(b []byte, entries []usedEntry) error {
	return s.taking(int64(len(b)), func() error { return s.segments.appendAll(b, entries) })
}

// taking takes room for records while they are appended, which counts what it
// writes.
func (s *Store) taking(need int64, appended func() error) error {
	if err := s.take(need); err != nil {
		return err
	}
	defer s.usage.release(need)
	return appended()
}

func (s *Store) putFile(k Key, data []byte) error {
	need := onDisk(int64(len(data)))
	if err := s.take(need); err != nil {
		return err
	}
	if err := s.store(k, data); err != nil {
		s.usage.release(need)
		return err
	}
	s.usage.placed(k, need)
	return nil
}

func (s *Store) store(k Key, data []byte) error {
	tmp, err := s.scratch.write(false, data)
	if err != nil {
		return err
	}
	if err = s.dir.place(tmp, path(k)); err != nil {
		s.scratch.remove(tmp)
	}
	return err
}

// take reserves n bytes, and waits for eviction where there is no room.
func (s *Store) take(n int64) error {
	if n > s.limit {
		return ErrFull
	}
	deadline := time.NewTimer(evictionWait)
	defer deadline.Stop()
	// A round that was under way may have ended without knowing of this need:
	// the second wait sees a whole one.
	for range 3 {
		ended := s.round.ended()
		limit := s.room()
		used, ok := s.usage.take(n, limit)
		begins := used > high(limit) && s.round.kick(s.now())
		if ok {
			return nil
		}
		if !begins || n > limit {
			break
		}
		select {
		case <-ended:
		case <-deadline.C:
			return ErrFull
		}
	}
	return ErrFull
}

// room is how large the cache may be: what the caller of Open said, or what
// the disk leaves.
func (s *Store) room() int64 {
	_, free := s.dir.space()
	used, _ := s.usage.get()
	return min(s.limit, max(0, used+free-s.reserve))
}

// noRoom gives errors of a full or read-only disk their kind, and mentions them
// in the log, where they would be too many.
func (s *Store) noRoom(err error) error {
	if errors.Is(err, fs.ErrClosed) {
		return err
	}
	for _, e := range []error{unix.ENOSPC, unix.EDQUOT, unix.EROFS} {
		if errors.Is(err, e) {
			err = fmt.Errorf("%w (%w)", ErrFull, err)
			break
		}
	}
	s.refused.Add(1)
	s.held.failed(err, s.now())
	if s.quiet.ok(s.now()) {
		s.log.Warn("cannot store", "error", err)
	}
	return err
}
