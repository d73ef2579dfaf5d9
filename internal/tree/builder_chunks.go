package tree

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// AddMember makes a range of a layer's blob known, and gives the number by
// which chunks refer to it.
func (b *Builder) AddMember(layer int, offset, size int64) uint32 {
	return b.addMember(member{offset: offset, size: size, layer: uint32(layer)})
}

// AddStored is AddMember for a range that holds content as it is, whatever it
// looks like.
func (b *Builder) AddStored(layer int, offset, size int64) uint32 {
	return b.addMember(member{offset: offset, size: size, layer: uint32(layer), stored: true})
}

func (b *Builder) addMember(m member) uint32 {
	b.used += memberCost // where that is too much, its first chunk is refused
	return b.members.add(&b.outside, m)
}

// EndMembers says how large the members from number first on are, which lie in
// one layer: each ends where the next begins, and the last at end. Two that begin
// at the same offset are one.
func (b *Builder) EndMembers(first uint32, end int64) {
	order := make([]uint32, b.members.n-first)
	for i := range order {
		order[i] = first + uint32(i)
	}
	byOffset := func(x, y uint32) int { return cmp.Compare(b.members.at(x).offset, b.members.at(y).offset) }
	if !slices.IsSortedFunc(order, byOffset) {
		slices.SortFunc(order, byOffset)
	}
	begin := end // of the member behind
	for i := len(order) - 1; i >= 0; i-- {
		m := b.members.at(order[i])
		if m.offset < begin {
			begin, end = m.offset, begin
		}
		m.size = end - begin
	}
}

// AddChunk adds a piece to those that the next call of Pieces gives.
func (b *Builder) AddChunk(c Chunk) error {
	if c.Size <= 0 || c.Size > MaxChunk || c.Offset != b.size || c.Member >= b.members.n || c.Inner < 0 || c.Size > math.MaxInt64-b.size {
		return fmt.Errorf("a chunk of %d bytes at %d makes no sense", c.Size, c.Offset)
	}
	if err := b.Reserve(pieceCost); err != nil {
		return err
	}
	b.chunks.add(&b.outside, piece{c.Digest, c.Inner, uint32(c.Size), c.Member})
	b.size += c.Size
	return nil
}

// Pieces are the chunks that were added since the last call.
func (b *Builder) Pieces() Pieces {
	c := Pieces{b.first, b.chunks.n - b.first}
	b.first, b.size = b.chunks.n, 0
	return c
}
