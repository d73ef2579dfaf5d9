package fs

import (
	"encoding/binary"
	"maps"
	"runtime/debug"
	"sync"
	"time"

	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/tree"
)

// inode is what a node id stands for: a node of a site's tree, or something
// that the mount itself makes.
type inode struct {
	lookups uint32 // how often the kernel was told of it, less how often it forgot
	node    tree.Node
	site    *site.Site
	made    *made // nil for what is in a site
}

// made is a folder of the namespace, a file that the mount writes, or a folder
// or companion that it adds to a site.
type made struct {
	path      string // of a folder, "" for the root
	data      []byte // of a file
	companion *site.Companion
	isFile    bool
	derived   derived // not 0 for a folder that is about the inode's site and node
	listing   listing
}

// hash stands for the content of a companion.
func (m *made) hash() uint64 { return binary.LittleEndian.Uint64(m.companion.Digest[:]) }

// inodes are the nodes that the kernel knows. It holds an entry from when the
// kernel is told of the node until the kernel forgets it, so its size is bound
// by the kernel's memory. A file stands for all files of its content in one
// repository: the site that was looked up last is the one whose layer is asked for
// the bytes, and others when that has them not.
type inodes struct {
	mu     sync.RWMutex
	m      map[nodeID]inode
	others sources
	peak   int         // the most that m held since it was made
	settle *time.Timer // after a shrink; nil before the first
}

func newInodes() inodes { return inodes{m: map[nodeID]inode{}, others: sources{}} }

// minPeak is from how many nodes on the table gives memory back: a map keeps
// what it once needed.
const minPeak = 10_000

// settleAfter is how long the table is left alone before it counts as settled.
const settleAfter = 2 * time.Second

// get finds what the kernel was told of.
func (t *inodes) get(id nodeID) (inode, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, ok := t.m[id]
	return n, ok
}

// add counts that the kernel is told of a node once more. It fails when the id
// stands for something else already.
func (t *inodes) add(id nodeID, n inode) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, known := t.m[id]
	if known && !same(old, n) {
		return false
	}
	if n.made != nil && old.made != nil && n.made.companion == nil {
		n.made = old.made // it has the listing
	}
	if n.made == nil && known && old.site != n.site && n.kind() == tree.File {
		t.others.note(id, old)
	}
	n.lookups = old.lookups + 1
	t.m[id] = n
	t.peak = max(t.peak, len(t.m))
	return true
}

// same tells whether two nodes of one id are the same thing, as they should be.
func same(a, b inode) bool {
	if a.made != nil || b.made != nil {
		return a.made != nil && b.made != nil && sameMade(a.made, b.made) && a.node == b.node
	}
	kind := a.site.Tree.Kind(a.node)
	if kind != b.site.Tree.Kind(b.node) || kind != tree.File {
		return kind == b.site.Tree.Kind(b.node)
	}
	return a.site.Repository() == b.site.Repository() && sameContent(a, b)
}

func sameMade(a, b *made) bool {
	if a.companion != nil || b.companion != nil {
		return a.companion != nil && b.companion != nil && a.companion.Digest == b.companion.Digest &&
			a.companion.Site().Repository() == b.companion.Site().Repository()
	}
	return a.path == b.path && a.isFile == b.isFile && a.derived == b.derived
}

// sameContent compares the digests of two files.
func sameContent(a, b inode) bool {
	first, count := a.site.Tree.Chunks(a.node)
	other, otherCount := b.site.Tree.Chunks(b.node)
	if count != otherCount {
		return false
	}
	for i := range uint32(count) {
		if a.site.Tree.Chunk(first+i).Digest != b.site.Tree.Chunk(other+i).Digest {
			return false
		}
	}
	return true
}

// elsewhere are other versions that have a file.
func (t *inodes) elsewhere(id nodeID) []source {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.others[id]
}

// prefer has a file read from s from now on, until the kernel is told of it anew.
func (t *inodes) prefer(id nodeID, s *site.Site, node tree.Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, known := t.m[id]
	if !known || n.made != nil || n.site == s {
		return
	}
	t.others.note(id, n)
	n.site, n.node = s, node
	t.m[id] = n
}

// forget takes back count tellings.
func (t *inodes) forget(id nodeID, count uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.m[id]
	if !ok {
		return
	}
	if uint64(n.lookups) > count {
		n.lookups -= uint32(count)
		t.m[id] = n
		return
	}
	delete(t.m, id)
	delete(t.others, id)
	if t.peak > minPeak && len(t.m) < t.peak/4 {
		t.shrink()
	}
}

// shrink makes the map anew, for what is left in it. When the kernel has done
// forgetting, the memory goes back to the machine: a daemon that has nothing to
// do does not collect garbage by itself for minutes.
func (t *inodes) shrink() {
	m := make(map[nodeID]inode, len(t.m))
	maps.Copy(m, t.m)
	t.m, t.peak = m, len(m)
	if t.settle == nil {
		t.settle = time.AfterFunc(settleAfter, debug.FreeOSMemory)
	} else {
		t.settle.Reset(settleAfter)
	}
}

// len is how many nodes the kernel knows.
func (t *inodes) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.m)
}
