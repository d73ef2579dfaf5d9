package fs

import (
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// maxChanges bounds what waits to be told to the kernel. What does not fit is
// left to the timeouts of the entries.
const maxChanges = 4096

// changes tells the kernel what it must not believe any longer. It does so from
// a goroutine of its own: the kernel may hold locks while it waits for the
// answer to a request, which telling it something would wait for.
type changes struct {
	tell chan func(*fuse.Server)
	done chan struct{}

	mu      sync.Mutex
	pending map[nodeID]bool // listings that are to be dropped
	once    sync.Once
}

func newChanges() *changes {
	return &changes{tell: make(chan func(*fuse.Server), maxChanges), done: make(chan struct{}), pending: map[nodeID]bool{}}
}

func (c *changes) start(s *fuse.Server) {
	go func() {
		for {
			select {
			case f := <-c.tell:
				f(s)
			case <-c.done:
				return
			}
		}
	}()
}

func (c *changes) stop() { c.once.Do(func() { close(c.done) }) }

func (c *changes) add(f func(*fuse.Server)) {
	select {
	case c.tell <- f:
	default:
	}
}

// Changed says that name in the folder dir of the namespace means something
// else now. The next lookup finds the new, and so does the next listing of dir;
// what is open stays as it is.
func (f *FS) Changed(dir, name string) {
	if n, ok := f.inodes.get(folderID(dir)); ok && n.made != nil {
		n.made.listing.drop()
	}
	f.changes.add(func(s *fuse.Server) { s.EntryNotify(uint64(folderID(dir)), name) })
}

// dropListing has the kernel drop the listing of a folder after a while. It
// keeps listings for ever otherwise, and nobody can see who uses them.
func (c *changes) dropListing(id nodeID, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending[id] {
		return
	}
	c.pending[id] = true
	time.AfterFunc(after, func() {
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
		c.add(func(s *fuse.Server) { s.InodeNotify(uint64(id), 0, 0) })
	})
}
