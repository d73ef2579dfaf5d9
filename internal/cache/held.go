package cache

import (
	"container/list"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

const (
	// heldBytes bounds what is held in memory of contents that found no room on
	// the disk: some pages with all that belongs to them, or eight chunks of
	// large files and their marks.
	heldBytes = 32<<20 + 64<<10
	// heldFor is for how long after its last use: whoever waited has read it by
	// then, and so have those who came right behind.
	heldFor = 30 * time.Second
	// problemFor is for how long after the last content that found no room the
	// cache says that something is wrong.
	problemFor = time.Minute
	// heldEach is what each takes beside its data, in bytes: marks have none.
	heldEach = 256
)

// held are contents and marks that the disk did not take. They were verified when
// they were put, and serve who waits for them while the disk is full, read-only or
// broken.
type held struct {
	mu    sync.Mutex // guards all below
	bytes int64
	order *list.List // of *heldContent, the one used last in front
	keys  map[Key]*list.Element
	err   error     // why the last one found no room
	when  time.Time // and when that was
}

type heldContent struct {
	key  Key
	data []byte
	used time.Time
}

func (c *heldContent) size() int64 { return heldEach + int64(len(c.data)) }

func (h *held) init() {
	h.order, h.keys = list.New(), map[Key]*list.Element{}
}

// add holds a copy of data, and lets the oldest go for it.
func (h *held) add(k Key, data []byte, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire(now)
	c := &heldContent{k, append([]byte(nil), data...), now}
	if h.keys[k] != nil || c.size() > heldBytes {
		return
	}
	for h.bytes+c.size() > heldBytes {
		h.drop(h.order.Back())
	}
	h.keys[k] = h.order.PushFront(c)
	h.bytes += c.size()
}

// get is the content k, which must not be changed, if it is held.
func (h *held) get(k Key, now time.Time) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire(now)
	e := h.keys[k]
	if e == nil {
		return nil, false
	}
	h.order.MoveToFront(e)
	c := e.Value.(*heldContent)
	c.used = now
	return c.data, true
}

func (h *held) expire(now time.Time) {
	for e := h.order.Back(); e != nil && now.Sub(e.Value.(*heldContent).used) > heldFor; e = h.order.Back() {
		h.drop(e)
	}
}

func (h *held) drop(e *list.Element) {
	c := h.order.Remove(e).(*heldContent)
	delete(h.keys, c.key)
	h.bytes -= c.size()
}

// failed notes why something was not kept.
func (h *held) failed(err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err, h.when = err, now
}

// problem is why contents found no room lately, or nil.
func (h *held) problem(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil || now.Sub(h.when) > problemFor {
		return nil
	}
	return h.err
}

// readHeld copies from a content that is held in memory.
func (s *Store) readHeld(k Key, size int64, p []byte, off int64) error {
	data, ok := s.held.get(k, s.now())
	if !ok {
		return fmt.Errorf("content %s: %w", short(k), fs.ErrNotExist)
	}
	if err := wrongSize(k, int64(len(data)), size); err != nil {
		return err
	}
	copy(p, data[min(off, size):])
	return nil
}

// Problem is why contents are not kept right now, or nil: the disk is full,
// read-only or broken, or all that the limit allows is in use. They are served
// from memory then, and fetched again by who comes later.
func (s *Store) Problem() error { return s.held.problem(s.now()) }
