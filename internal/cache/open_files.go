package cache

import (
	"container/list"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// openMax bounds the files that are kept open: 512 MiB of chunks of 4 MiB.
	openMax = 128
	// openPart is the part of the process's descriptors that they may take.
	openPart = 16
)

// openFiles are the large contents that were verified lately, kept open so
// that reading one in pieces hashes it once.
type openFiles struct {
	max int

	mu     sync.Mutex // guards all below
	closed bool
	byKey  map[Key]*list.Element
	lru    *list.List // of *openFile, the last used first
}

// openFile is one of them. While somebody uses it, it stays open, also when it
// is no longer kept.
type openFile struct {
	key  Key
	refs int // its users, and one for being kept; guarded by openFiles.mu

	mu   sync.Mutex // held while the file is opened and hashed, so that this is done once
	file file
	ok   bool
}

func newOpenFiles() *openFiles {
	return &openFiles{max: openLimit(), byKey: map[Key]*list.Element{}, lru: list.New()}
}

func openLimit() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 4
	}
	return int(max(4, min(openMax, r.Cur/openPart)))
}

// get gives the entry for k, a new and empty one if there was none. It must be
// given back to put.
func (o *openFiles) get(k Key) (*openFile, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, fs.ErrClosed
	}
	if e, ok := o.byKey[k]; ok {
		o.lru.MoveToFront(e)
		f := e.Value.(*openFile)
		f.refs++
		return f, nil
	}
	f := &openFile{key: k, refs: 2}
	o.byKey[k] = o.lru.PushFront(f)
	if o.lru.Len() > o.max {
		o.forget(o.lru.Back())
	}
	return f, nil
}

func (o *openFiles) put(f *openFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.release(f)
}

// drop stops keeping k open: its file was removed.
func (o *openFiles) drop(k Key) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e, ok := o.byKey[k]; ok {
		o.forget(e)
	}
}

// discard stops keeping f, so that the next get begins anew. Who still reads
// from f keeps its descriptor.
func (o *openFiles) discard(f *openFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e, ok := o.byKey[f.key]; ok && e.Value == f {
		o.forget(e)
	}
}

func (o *openFiles) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for o.lru.Len() > 0 {
		o.forget(o.lru.Back())
	}
}

// forget and release are called with mu held.
func (o *openFiles) forget(e *list.Element) {
	f := o.lru.Remove(e).(*openFile)
	delete(o.byKey, f.key)
	o.release(f)
}

func (o *openFiles) release(f *openFile) {
	f.refs--
	if f.refs == 0 && f.ok {
		f.file.close()
		f.ok = false
	}
}
