package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Limits of a tree. They bound what a hostile layer can cost.
const (
	// MaxNodes is how many names a version may have, those that an upper layer
	// removes included: 42 MiB of a Builder at eight bytes each.
	MaxNodes = 1 << idBits
	// MaxIndex is how many bytes a Builder may take unless it is told otherwise:
	// half a million files with names of twenty bytes. What is refused is refused
	// at the latest with so much in memory, and beside it there have to be buffers
	// and garbage, in 64 MiB together.
	MaxIndex = 48 << 20
	// MaxName and MaxPath are the kernel's NAME_MAX and PATH_MAX less the
	// terminating zero: a longer name could be listed but never opened.
	MaxName = 255
	MaxPath = 4095
	// MaxDepth keeps walks over a tree short of silly; PATH_MAX alone would
	// allow 2,048 levels.
	MaxDepth = 512
	// MaxChunk bounds what must be fetched and held to verify one byte.
	MaxChunk = 64 << 20
)

// large is from how many bytes on a Builder is one of the large ones: that of
// some 40,000 files.
const large = 4 << 20

// ErrTooLarge means that a Builder would take more than its Limit.
var ErrTooLarge = errors.New("too many names and chunks")

// Builder is a tree that can still change: layers are applied to it one after
// another, then Freeze makes the Tree. It keeps none of the strings that it is
// given. It is not safe for concurrent use.
//
// It is made for versions of a million names, which have to be small while they
// are not yet known to be sound: numbers instead of pointers, in lists that grow
// without being moved, some 60 bytes a name and 50 a chunk.
type Builder struct {
	Limit int // bytes that it may take
	// Large is asked before the Builder becomes a large one, if it is there; an
	// error ends the building.
	Large func() error

	outside outside // where the most of what follows is
	nodes   pages[node]
	chunks  pages[piece]
	members pages[member]
	texts   texts // names and targets of links
	index   index
	queue   queue
	count   int // of nodes that are there
	used    int // bytes
	isLarge bool
	layer   uint16 // number of the layer that is being applied

	omitted      int
	firstOmitted string

	// The content that is being added: its first chunk, and the bytes so far.
	first uint32
	size  int64

	// The folder that folder found last: an archive names one file of a folder
	// after the other. Not to be used once folders were taken out of the tree.
	lastDir    []byte
	lastFolder uint32
	lastIsGood bool
}

// NewBuilder gives an empty tree.
func NewBuilder() *Builder {
	b := &Builder{Limit: MaxIndex, index: newIndex(), count: 1}
	b.nodes.add(&b.outside, node{kind: Dir})
	return b
}

// Empty tells whether nothing has been put into the tree.
func (b *Builder) Empty() bool { return b.nodes.n == 1 && b.members.n == 0 }

// Reset makes the tree empty again.
func (b *Builder) Reset() {
	before := *b
	b.Close()
	*b = *NewBuilder()
	b.Limit, b.Large, b.isLarge = before.Limit, before.Large, before.isLarge
}

// Close gives back the memory of the Builder, which must not be used any more.
// What is not closed is lost if there are more than some thousand names.
func (b *Builder) Close() {
	b.outside.giveBack()
	b.index.outside.giveBack()
	b.queue.outside.giveBack()
	*b = Builder{}
}

// Reserve counts bytes that somebody holds for the tree elsewhere.
func (b *Builder) Reserve(n int) error {
	if b.used += n; b.used > b.Limit {
		return fmt.Errorf("%w: they take more than %d MiB", ErrTooLarge, b.Limit>>20)
	}
	if b.used > large && !b.isLarge && b.Large != nil {
		b.isLarge = true
		return b.Large()
	}
	return nil
}

func (b *Builder) name(n *node) string { return b.texts.get(n.name, int(n.length)) }

func (b *Builder) target(n *node) string { return b.texts.get(n.a, int(n.b)) }

// BeginLayer says that what follows is of one more layer, which may replace
// what those before it hold. Inside one layer nothing may be two things, such
// as a file and a folder: readers of archives disagree on which of them wins.
func (b *Builder) BeginLayer() {
	b.layer++
	b.lastIsGood = false
}

// Mkdir makes the folder path, and those above it. A folder that is there
// stays, anything else of that name is replaced.
func (b *Builder) Mkdir(path string) error {
	if path == "." {
		return nil
	}
	parent, name, err := b.folder(path)
	if err != nil {
		return err
	}
	if id := b.child(parent, name); id != 0 && b.nodes.at(id).kind == Dir {
		b.nodes.at(id).layer = b.layer
		return nil
	}
	_, err = b.attach(parent, name, node{kind: Dir})
	return err
}

// Create puts a file with that content at path, in place of what was there.
func (b *Builder) Create(path string, chunks []Chunk) error {
	for _, c := range chunks {
		if err := b.AddChunk(c); err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
	}
	return b.Place(path, b.Pieces())
}

// Place is Create for chunks that were added before.
func (b *Builder) Place(path string, c Pieces) error {
	return b.put(path, node{kind: File, a: c.first, b: c.count})
}

// Symlink puts a link at path, in place of what was there. Where it leads is
// judged by Freeze, when all of the tree is known.
func (b *Builder) Symlink(path, target string) error {
	if target == "" || len(target) > MaxPath || strings.IndexByte(target, 0) >= 0 {
		return fmt.Errorf("%q: link target of %d bytes makes no sense", path, len(target))
	}
	if err := b.Reserve(len(target)); err != nil {
		return err
	}
	return b.put(path, node{kind: Symlink, a: b.texts.add(&b.outside, target), b: uint32(len(target))})
}

// Link puts the file at oldPath at path too. Its error is an fs.ErrNotExist
// when there is no such file.
func (b *Builder) Link(path, oldPath string) error {
	id, ok := b.at(oldPath)
	if !ok || b.nodes.at(id).kind == Dir || path == oldPath {
		return fmt.Errorf("%q: hard link to %q: %w", path, oldPath, fs.ErrNotExist)
	}
	old := b.nodes.at(id)
	return b.put(path, node{kind: old.kind, a: old.a, b: old.b})
}

// Remove removes path with all below it; it may be absent.
func (b *Builder) Remove(path string) {
	if id, ok := b.at(path); ok && id != 0 {
		b.lastIsGood = false
		b.clear(id)
		b.nodes.at(id).kind = gone
		b.count--
	}
}

// Omit is Remove for what a layer holds and no tree can: a device, say.
func (b *Builder) Omit(path string) {
	b.Remove(path)
	if b.omitted++; b.omitted == 1 {
		b.firstOmitted = strings.Clone(path)
	}
}

// Omitted is how often Omit was called, and with what first.
func (b *Builder) Omitted() (count int, first string) { return b.omitted, b.firstOmitted }

// Clear removes everything in the folder path, or in that to which a link of
// that name leads; it may be absent.
func (b *Builder) Clear(path string) {
	hops := 0
	if id, ok := b.walk(0, path, &hops); ok {
		b.lastIsGood = false
		b.clear(id)
	}
}

// clear removes everything below the node id, if it is a folder.
func (b *Builder) clear(id uint32) {
	n := b.nodes.at(id)
	if n.kind != Dir {
		return
	}
	for c := n.a; c != 0; {
		if b.nodes.at(c).kind < gone {
			b.clear(c)
			b.count--
		}
		child := b.nodes.at(c)
		child.kind = loose
		c = child.next
	}
	n.a = 0
}

// put puts a node at path, in place of what was there.
func (b *Builder) put(path string, n node) error {
	if path == "." {
		return fmt.Errorf("the root of a layer is not a folder")
	}
	parent, name, err := b.folder(path)
	if err != nil {
		return err
	}
	_, err = b.attach(parent, name, n)
	return err
}

// attach puts a node into a folder, under that name.
func (b *Builder) attach(parent uint32, name string, n node) (uint32, error) {
	id := b.find(parent, name)
	if id == 0 {
		return b.add(parent, name, n)
	}
	old := b.nodes.at(id)
	if old.kind < gone && old.layer == b.layer && old.kind != n.kind {
		return 0, fmt.Errorf("%q is both a %s and a %s", name, old.kind, n.kind)
	}
	b.lastIsGood = false
	b.clear(id)
	if old.kind >= gone {
		b.count++
	}
	if old.kind == loose {
		b.list(id)
	}
	old.kind, old.a, old.b, old.layer = n.kind, n.a, n.b, b.layer
	return id, nil
}

// add makes a node of a name that its folder never had.
func (b *Builder) add(parent uint32, name string, n node) (uint32, error) {
	if b.nodes.n == MaxNodes {
		return 0, fmt.Errorf("more than %d names", MaxNodes)
	}
	if err := b.Reserve(nodeCost + len(name)); err != nil {
		return 0, err
	}
	n.name, n.length, n.parent, n.layer = b.texts.add(&b.outside, name), uint8(len(name)), parent, b.layer
	id := b.nodes.add(&b.outside, n)
	b.list(id)
	b.enlist(id)
	b.count++
	return id, nil
}

// list puts the node id among the children of its folder.
func (b *Builder) list(id uint32) {
	n := b.nodes.at(id)
	folder := b.nodes.at(n.parent)
	n.next, folder.a = folder.a, id
}
