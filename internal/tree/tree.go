// Package tree is the immutable tree of files that everything else speaks of:
// names, sizes, digests, and where in which layer the bytes are. It holds no
// bytes of files, and knows neither how they are fetched nor who asks.
//
// A tree is one flat run of bytes, the same in memory and on disk: a million
// files are no million Go objects, a lookup allocates nothing, and loading one
// is reading a file. Build one with a Builder, keep it with Bytes, get it back
// with Load.
package tree

import (
	"encoding/binary"
	"fmt"
	"sort"
	"unsafe"
)

// Node is the number of a file, folder or link in its tree.
type Node uint32

// Root is the root folder of every tree.
const Root Node = 0

// Kind says what a node is. There is nothing else in a tree: no devices,
// sockets or pipes.
type Kind uint8

// The kinds of nodes.
const (
	Dir Kind = iota + 1
	File
	Symlink
)

// String is the kind in words.
func (k Kind) String() string {
	switch k {
	case Dir:
		return "folder"
	case File:
		return "file"
	case Symlink:
		return "link"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Digest is the SHA-256 of some bytes.
type Digest = [32]byte

// Chunk is a piece of a file's content: the unit that is fetched, verified and
// kept. Sizes and offsets are bytes.
type Chunk struct {
	Digest Digest
	Size   int64
	Offset int64  // in the file
	Member uint32 // where it can be read
	Inner  int64  // offset in the uncompressed member
}

// Member is a range of a layer's blob that can be decompressed by itself: a
// gzip member of an eStargz, or the whole blob of any other layer.
type Member struct {
	Layer  int   // index in the manifest's layers
	Offset int64 // in the blob
	Size   int64 // compressed
	Stored bool  // the range is content as it is, and not to be decompressed
	// First and Count are the chunks that lie in the member, ordered by their
	// place in it.
	First, Count uint32
}

// The flat form, little endian. A header, then the tables one after another.
//
//	header   magic[8] nodes:u32 chunks:u32 members:u32 names:u32 reserved[8]
//	node     nameOff:u32 nameLen:u16 kind:u8 zero:u8 parent:u32 a:u32 b:u32 zero:u32 size:u64 id:u64
//	chunk    digest[32] offset:u64 inner:u64 size:u32 member:u32
//	member   layer:u32 first:u32 count:u32 stored:u32 offset:u64 size:u64
//	names    bytes of names and link targets
//
// a and b are, by kind: first child and number of children; first chunk and
// number of chunks; offset and length of the link's target in names. The
// children of a folder are consecutive nodes in the order of their names, so a
// lookup is a binary search.
const (
	magic      = "regtree\x01"
	headerSize = 32
	nodeSize   = 40
	chunkSize  = 56
	memberSize = 32
)

// Tree is an immutable tree. All methods may be called at any time by anyone.
// A Node, Chunk or Member number must come from the same tree.
type Tree struct {
	data    []byte
	nodes   []byte
	chunks  []byte
	members []byte
	names   []byte
}

// Bytes is the tree's flat form, to be kept and loaded again. It must not be
// changed.
func (t *Tree) Bytes() []byte { return t.data }

// Len is the number of nodes, the root included.
func (t *Tree) Len() int { return len(t.nodes) / nodeSize }

// Members is the number of members.
func (t *Tree) Members() int { return len(t.members) / memberSize }

func (t *Tree) node(n Node) []byte { return t.nodes[int(n)*nodeSize : int(n)*nodeSize+nodeSize] }

// Kind tells what n is.
func (t *Tree) Kind(n Node) Kind { return Kind(t.node(n)[6]) }

// Parent is the folder that n is in; the root's is the root.
func (t *Tree) Parent(n Node) Node { return Node(binary.LittleEndian.Uint32(t.node(n)[8:])) }

// Size is the length of a file's content or of a link's target in bytes, and 0
// for folders.
func (t *Tree) Size(n Node) int64 { return int64(binary.LittleEndian.Uint64(t.node(n)[24:])) }

// ID is a function of what n holds and nothing else: of a file's content, or of
// a link's target. It is 0 for folders. It is the first eight bytes of
// ContentID, so equal IDs of different contents take 2^32 files.
func (t *Tree) ID(n Node) uint64 { return binary.LittleEndian.Uint64(t.node(n)[32:]) }

// name is the node's name inside the tree's own memory.
func (t *Tree) name(n Node) []byte {
	r := t.node(n)
	off := binary.LittleEndian.Uint32(r)
	return t.names[off : off+uint32(binary.LittleEndian.Uint16(r[4:]))]
}

// Name is the name of n in its folder; the root's is "". It is a view of the
// tree's own memory, which never changes: listing a folder copies no names.
func (t *Tree) Name(n Node) string {
	name := t.name(n)
	return unsafe.String(unsafe.SliceData(name), len(name)) //nolint:gosec // the bytes are immutable, see Load
}

// span gives the two numbers whose meaning depends on the kind.
func (t *Tree) span(n Node) (a, b uint32) {
	r := t.node(n)
	return binary.LittleEndian.Uint32(r[12:]), binary.LittleEndian.Uint32(r[16:])
}

// Target is where a link points: a relative path that stays in the tree and
// leads through no other link.
func (t *Tree) Target(n Node) string {
	off, length := t.span(n)
	return string(t.names[off : off+length])
}

// Children are the nodes first to first+count-1, ordered by name.
func (t *Tree) Children(n Node) (first Node, count int) {
	a, b := t.span(n)
	return Node(a), int(b)
}

// Lookup finds the child of dir with that name.
func (t *Tree) Lookup(dir Node, name string) (Node, bool) {
	if t.Kind(dir) != Dir {
		return 0, false
	}
	first, count := t.Children(dir)
	i := sort.Search(count, func(i int) bool { return string(t.name(first+Node(i))) >= name })
	if i < count && string(t.name(first+Node(i))) == name {
		return first + Node(i), true
	}
	return 0, false
}

// Path is the path of n, as io/fs spells it: "." for the root.
func (t *Tree) Path(n Node) string {
	if n == Root {
		return "."
	}
	path := t.Name(n)
	for n = t.Parent(n); n != Root; n = t.Parent(n) {
		path = t.Name(n) + "/" + path
	}
	return path
}

// Chunks are the pieces first to first+count-1 of a file, in order.
func (t *Tree) Chunks(n Node) (first uint32, count int) {
	a, b := t.span(n)
	return a, int(b)
}

// ChunkAt is the number of the chunk of file n that holds offset off, which
// must be less than the file's size.
func (t *Tree) ChunkAt(n Node, off int64) uint32 {
	first, count := t.Chunks(n)
	return first + uint32(sort.Search(count-1, func(i int) bool { return t.Chunk(first+uint32(i)+1).Offset > off }))
}

// Chunk is the chunk number i.
func (t *Tree) Chunk(i uint32) Chunk {
	r := t.chunks[int(i)*chunkSize : int(i)*chunkSize+chunkSize]
	return Chunk{
		Digest: Digest(r[:32]),
		Offset: int64(binary.LittleEndian.Uint64(r[32:])),
		Inner:  int64(binary.LittleEndian.Uint64(r[40:])),
		Size:   int64(binary.LittleEndian.Uint32(r[48:])),
		Member: binary.LittleEndian.Uint32(r[52:]),
	}
}

// Member is the member number i.
func (t *Tree) Member(i uint32) Member {
	r := t.members[int(i)*memberSize : int(i)*memberSize+memberSize]
	return Member{
		Layer:  int(binary.LittleEndian.Uint32(r)),
		First:  binary.LittleEndian.Uint32(r[4:]),
		Count:  binary.LittleEndian.Uint32(r[8:]),
		Stored: binary.LittleEndian.Uint32(r[12:]) == 1,
		Offset: int64(binary.LittleEndian.Uint64(r[16:])),
		Size:   int64(binary.LittleEndian.Uint64(r[24:])),
	}
}
