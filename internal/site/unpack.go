package site

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/regfs/regfs/internal/layer"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

// maxHeld is how large a member may be, in bytes, to be held in memory while it
// waits to be unpacked: nearly all are, and 64 requests at once hold 16 MiB.
const maxHeld = 256 << 10

// members are for those that are held.
var members = sync.Pool{New: func() any { b := make([]byte, maxHeld); return &b }}

// unpacking is the unpacking of what one request brings. Its methods are for
// the one who reads the body.
type unpacking struct {
	run     *run
	body    *registry.Body
	pending sync.WaitGroup

	mu     sync.Mutex
	failed map[uint32]error // members that are not what they should be
}

// take unpacks member i while it comes. Its error is that of the transfer.
func (u *unpacking) take(i uint32, m tree.Member) error {
	member := &io.LimitedReader{R: u.body, N: m.Size}
	err := u.run.unpackMember(m, member)
	if _, broken := io.Copy(io.Discard, member); broken != nil {
		return broken
	}
	u.end(i, err)
	return nil
}

// takeBeside reads member i, which then is unpacked while the next ones come.
// Whoever waits for bytes takes no place from those who unpack: a layer that
// does not come keeps none from it.
func (u *unpacking) takeBeside(i uint32, m tree.Member) error {
	b := members.Get().(*[]byte)
	if _, err := io.ReadFull(u.body, (*b)[:m.Size]); err != nil {
		members.Put(b)
		return err
	}
	leave := u.run.site.content.fetches.unpacker(u.run.isAhead())
	u.pending.Go(func() {
		u.end(i, u.run.unpackMember(m, bytes.NewReader((*b)[:m.Size])))
		leave()
		members.Put(b)
	})
	return nil
}

// end ends the call of a member, if the run has one. What is damaged waits for
// retry: only who reads the body knows where it comes from.
func (u *unpacking) end(member uint32, err error) {
	if errors.Is(err, layer.ErrFormat) {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.failed == nil {
			u.failed = map[uint32]error{}
		}
		u.failed[member] = err
		return
	}
	u.settle(member, err, false)
}

func (u *unpacking) settle(member uint32, err error, again bool) {
	i := int(member) - int(u.run.first)
	if i < 0 || i >= len(u.run.calls) {
		return
	}
	switch {
	case again:
		u.run.again(i, u.body)
	case errors.Is(err, layer.ErrFormat): // the registry would send the same again
		u.run.site.content.fetches.failed.note(u.run.site.place(member), err)
	case err == nil && u.run.doubted != nil: // the registry had it right
		u.run.doubted.Reject()
	}
	u.run.site.content.fetches.end(u.run, i, err)
}

// retry fetches what a mirror damaged from the registry itself.
func (u *unpacking) retry() {
	u.mu.Lock()
	failed := u.failed
	u.failed = nil
	u.mu.Unlock()
	for member, err := range failed {
		u.settle(member, err, u.body.FromMirror())
	}
}

// finish waits until all is unpacked.
func (u *unpacking) finish() {
	u.pending.Wait()
	u.retry()
}

// unpackMember keeps the content of one member. What the store has no room for
// it holds for a moment, for who waits; and it says so itself.
func (r *run) unpackMember(m tree.Member, from io.Reader) error {
	batch := r.site.shelf.Batch()
	if r.isAhead() {
		batch.ReadSoon()
	}
	var lost error
	err := layer.Unpack(r.site.Tree, m, from, func(sum tree.Digest, data []byte) {
		lost = errors.Join(lost, batch.PutVerified(sum, data))
	})
	return errors.Join(err, lost, batch.Close())
}
