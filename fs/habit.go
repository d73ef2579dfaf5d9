package fs

import (
	"sync/atomic"
	"time"

	"github.com/regfs/regfs/internal/tree"
)

const (
	// habitAge is how long after the last listing a habit is believed: who goes
	// through folders lists the next one sooner.
	habitAge = time.Second
	// habitFolders is after how many folders in a row a habit is one.
	habitFolders = 2
)

// habit is whether whoever lists folders right now wants the attributes of the
// files in them (ls -l, tar, du) or only their names (ls, find). An entry with
// attributes makes the kernel, and us, an inode, which is nine tenths of what a
// listing of many names takes; without, each file that is looked at is a question.
//
// A listing gives attributes until it is seen that nobody asked for them: those
// of the first file in a folder the kernel may keep for no time, so that it asks
// when somebody looks. Whoever looks a file up shows that they are wanted again.
// All readers of the mount are taken for one: to be wrong costs time only.
type habit struct {
	probe   atomic.Uint64 // nodeID of the file to be asked for in the last folder; 0 once it was, or for none
	unasked atomic.Int32  // folders in a row in which it was not
	last    atomic.Int64  // when a folder was listed; nanoseconds of the clock
}

// begin notes that a folder is being listed from its beginning.
func (h *habit) begin(now time.Time) {
	if now.UnixNano()-h.last.Swap(now.UnixNano()) > int64(habitAge) {
		h.unasked.Store(0)
		h.probe.Store(0)
	}
	if h.probe.Swap(0) != 0 {
		h.unasked.Add(1)
	}
}

// namesOnly tells whether nobody asks for attributes.
func (h *habit) namesOnly() bool { return h.unasked.Load() >= habitFolders }

// probing tells whether a file is the one to be asked for, which the first of a
// folder is.
func (h *habit) probing(id nodeID, n inode, first bool) bool {
	if !first || n.kind() != tree.File {
		return false
	}
	h.probe.Store(uint64(id))
	return true
}

// asked notes that somebody wants the attributes of a node.
func (h *habit) asked(id nodeID) {
	if h.probe.CompareAndSwap(uint64(id), 0) {
		h.unasked.Store(0)
	}
}

// wanted notes that a file was looked up.
func (h *habit) wanted() {
	if h.unasked.Load() != 0 {
		h.unasked.Store(0)
	}
}
