package fs

import (
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/tree"
)

const (
	// giftSteps is after how many files of a folder, read one after the other,
	// the next ones are given.
	giftSteps = 2
	// giftWindow is how many files ahead of the reader, and giftLead how many at
	// least: a file that is given while it is read has both wait for each other's
	// end, and a daemon that is killed then has a thread in the kernel that waits
	// for an answer which nobody gives any more. Nearer files are asked for.
	giftWindow = 32
	giftLead   = 4
	// notGiven is at which files the reader has to ask, so that we see how far it
	// is: often in a window, seldom beside what asking for all of them costs.
	notGiven = 8
	// maxGift is how large a file is given at most, in bytes. A larger one is read
	// in few large pieces, without a copy.
	maxGift = 128 << 10
	// maxGifts bounds the windows that wait to be given: there are not more
	// readers of that kind, and what does not fit is asked for.
	maxGifts = 16
)

// gifts are files that go into the kernel's page cache before they are asked for.
// Who reads one small file after another (tar, rsync, a backup) spends most of
// its time on waiting for single answers; the kernel reads ahead in a file and
// not from one to the next.
//
// A node's id follows from its content, so that a gift is never for another one,
// and the bytes are verified as any others. Only those are given that are here,
// of files that the kernel knows. All readers of the mount are taken for one: to
// be wrong costs time only.
type gifts struct {
	queue chan window
	done  chan struct{}
	once  sync.Once

	mu    sync.Mutex
	site  *site.Site // whose folder is being read; guarded by mu as what follows
	last  tree.Node  // the file of it that was read last
	end   tree.Node  // of what was given: the first that was not
	steps int        // files in a row
}

// window is a row of files of a site.
type window struct {
	site      *site.Site
	from, end tree.Node
}

func newGifts() *gifts {
	return &gifts{queue: make(chan window, maxGifts), done: make(chan struct{})}
}

// read notes that somebody asks for a file, and has what follows it given if
// that is a habit. It never waits.
func (g *gifts) read(n inode) {
	w, ok := g.next(n)
	if !ok {
		return
	}
	select {
	case g.queue <- w:
	default:
	}
}

func (g *gifts) next(n inode) (w window, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch t := n.site.Tree; {
	case g.site == n.site && n.node == g.last:
		return w, false // another piece of it
	case g.site != n.site || n.node < g.last || n.node > max(g.end, g.last+1):
		g.site, g.steps = n.site, 0
		g.last, g.end = n.node, n.node+1
		return w, false
	default:
		g.steps++
		g.last = n.node
		from := max(g.end, n.node+1)
		if g.steps >= giftSteps {
			from = max(from, n.node+1+giftLead)
		}
		g.end = from
		first, count := t.Children(t.Parent(n.node))
		end := min(n.node+giftWindow, first+tree.Node(count))
		if g.steps < giftSteps || end <= from {
			return w, false
		}
		g.end = end
		return window{n.site, from, end}, true
	}
}

// near tells whether the reader of a site has come so near to a file that it may
// be reading it.
func (g *gifts) near(s *site.Site, n tree.Node) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.site != s || g.last+giftLead >= n
}

// give gives what is asked for until stop. It has a goroutine of its own: the
// kernel holds a page while it waits for us to read it, and giving waits for
// that page.
func (f *FS) give(s *fuse.Server) {
	buf := make([]byte, maxGift)
	for {
		select {
		case w := <-f.gifts.queue:
			for n := w.from; n < w.end; n++ {
				if n%notGiven != 0 && !f.gifts.near(w.site, n) {
					f.giveFile(s, inode{site: w.site, node: n}, buf)
				}
			}
		case <-f.gifts.done:
			return
		}
	}
}

func (f *FS) giveFile(s *fuse.Server, n inode, buf []byte) {
	if n.kind() != tree.File || n.size() > maxGift {
		return
	}
	id := childID(0, n) // a file's does not depend on where it is
	known, ok := f.inodes.get(id)
	if !ok || !same(known, n) {
		return
	}
	if size, ok := n.site.ReadLocal(n.node, buf); ok {
		// An error says that the kernel has forgotten the file meanwhile.
		_ = s.InodeNotifyStoreCache(uint64(id), 0, buf[:size])
	}
}

func (g *gifts) stop() { g.once.Do(func() { close(g.done) }) }
