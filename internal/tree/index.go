package tree

import "hash/maphash"

// idBits is how many bits the number of a node in a Builder takes. What a slot
// of an index has beside it is a part of the hash: it tells nearly all nodes of
// other names apart without looking at them.
const (
	idBits = 20
	idMask = 1<<idBits - 1
)

// index finds nodes by the folder that they are in and their name: a table with
// open addressing, a power of two long and at most three fourths full. It has 4
// bytes a slot where maps of names, one a folder, would take more than a hundred
// for each node. The seed keeps those who choose the names from choosing where
// they come to lie.
type index struct {
	seed    maphash.Seed
	slots   []uint32 // part of the hash and number of a node, 0 if there is none
	outside outside  // where they are, if there are many
}

const minSlots = 64

func newIndex() index { return index{seed: maphash.MakeSeed(), slots: make([]uint32, minSlots)} }

func (x *index) hash(parent uint32, name string) uint64 {
	const spread = 0x9e3779b97f4a7c15 // of Fibonacci hashing: it sends neighbours far from each other
	return maphash.String(x.seed, name) ^ uint64(parent)*spread
}

// child gives the number of what has that name in the folder parent, or 0.
func (b *Builder) child(parent uint32, name string) uint32 {
	if id := b.find(parent, name); id != 0 && b.nodes.at(id).kind < gone {
		return id
	}
	return 0
}

// find is child, also for what was removed.
func (b *Builder) find(parent uint32, name string) uint32 {
	slots, mask := b.index.slots, uint32(len(b.index.slots)-1)
	hash := b.index.hash(parent, name)
	for slot := uint32(hash>>32) & mask; slots[slot] != 0; slot = (slot + 1) & mask {
		if slots[slot]&^idMask != uint32(hash)<<idBits {
			continue
		}
		id := slots[slot] & idMask
		if n := b.nodes.at(id); n.parent == parent && b.name(n) == name {
			return id
		}
	}
	return 0
}

// enlist lets find find the node id, which is the last that was made.
func (b *Builder) enlist(id uint32) {
	if 4*int(id) >= 3*len(b.index.slots) {
		b.index.double()
		for old := uint32(1); old < id; old++ {
			b.fill(old)
		}
	}
	b.fill(id)
}

// double makes the table twice as long, and empty.
func (x *index) double() {
	n := 2 * len(x.slots)
	x.outside.giveBack()
	if n > 1<<pageBits {
		x.slots = room[uint32](&x.outside, n)
	} else {
		x.slots = make([]uint32, n)
	}
}

// fill puts the node id into the first free slot where find looks for it.
func (b *Builder) fill(id uint32) {
	n := b.nodes.at(id)
	slots, mask := b.index.slots, uint32(len(b.index.slots)-1)
	hash := b.index.hash(n.parent, b.name(n))
	slot := uint32(hash>>32) & mask
	for slots[slot] != 0 {
		slot = (slot + 1) & mask
	}
	slots[slot] = uint32(hash)<<idBits | id
}
