package tree

// What is held costs, in bytes: a node with its share of the index, which is at
// least three eighths full; a chunk; a member.
const (
	nodeCost   = 24 + 4*8/3
	pieceCost  = 48
	memberCost = 24
)

// node is a file, folder or link in a Builder. Number 0 is the root, which is in
// no list of children and in no index, so that 0 also says "none".
type node struct {
	name   uint32 // where its name is
	parent uint32
	next   uint32 // among the children of its folder: the one that came before it
	// What a and b are is by the kind. Of a folder a is the child that came last;
	// of a file they are its first chunk and how many there are; of a link, where
	// its target is and how long.
	a, b   uint32
	layer  uint16 // the last one that had a say in it
	length uint8  // of its name
	kind   Kind
}

// Kinds of nodes that are not there any more. Their numbers are theirs for ever:
// what gets the same name later is the same node.
const (
	gone  Kind = 0xfe + iota // but still among the children of its folder
	loose                    // and not among them
)

// piece is a Chunk in a Builder. Its offset in the file follows from those
// before it.
type piece struct {
	digest Digest
	inner  int64
	size   uint32
	member uint32
}

// member is a Member in a Builder, without its chunks.
type member struct {
	offset, size int64
	layer        uint32
	stored       bool
}

// Pieces are what a file holds: chunks one after another in a Builder.
type Pieces struct{ first, count uint32 }
