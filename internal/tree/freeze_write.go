package tree

import (
	"crypto/sha256"
	"encoding/binary"
)

// write makes the flat form.
func (f *freezer) write() []byte {
	lengths := [...]int{len(f.list) * nodeSize, f.chunks * chunkSize, f.members * memberSize, f.names}
	data := make([]byte, headerSize, headerSize+lengths[0]+lengths[1]+lengths[2]+lengths[3])
	copy(data, magic)
	for i, n := range [...]int{len(f.list), f.chunks, f.members, f.names} {
		binary.LittleEndian.PutUint32(data[8+4*i:], uint32(n))
	}
	t := &Tree{}
	rest := data[headerSize:cap(data)]
	for i, table := range [...]*[]byte{&t.nodes, &t.chunks, &t.members, &t.names} {
		*table, rest = rest[:lengths[i]:lengths[i]], rest[lengths[i]:]
	}
	f.writeMembers(t)
	f.writeChunks(t)
	f.writeNodes(t)
	return data[:cap(data)]
}

func (f *freezer) writeMembers(t *Tree) {
	for i, number := range f.number {
		m := f.b.members.at(uint32(i))
		r := t.members[int(number)*memberSize:]
		binary.LittleEndian.PutUint32(r, m.layer)
		if m.stored {
			binary.LittleEndian.PutUint32(r[12:], 1)
		}
		binary.LittleEndian.PutUint64(r[16:], uint64(m.offset))
		binary.LittleEndian.PutUint64(r[24:], uint64(m.size))
	}
}

// writeChunks writes the chunks in the order in which they lie, so that those of
// a member are together, and says so in its record. The first chunk of a file in
// the builder then says which number it has in the tree (inner).
func (f *freezer) writeChunks(t *Tree) {
	number := uint32(0)
	for _, id := range f.files {
		n := f.b.nodes.at(id)
		first, offset := number, uint64(0)
		for i := n.a; i < n.a+n.b; i++ {
			c := f.b.chunks.at(i)
			m := t.members[int(f.number[c.member])*memberSize:]
			if count := binary.LittleEndian.Uint32(m[8:]); count == 0 {
				binary.LittleEndian.PutUint32(m[4:], number)
			}
			binary.LittleEndian.PutUint32(m[8:], binary.LittleEndian.Uint32(m[8:])+1)
			r := t.chunks[int(number)*chunkSize:]
			copy(r, c.digest[:])
			binary.LittleEndian.PutUint64(r[32:], offset)
			binary.LittleEndian.PutUint64(r[40:], uint64(c.inner))
			binary.LittleEndian.PutUint32(r[48:], c.size)
			binary.LittleEndian.PutUint32(r[52:], f.number[c.member])
			offset += uint64(c.size)
			number++
		}
		f.b.chunks.at(n.a).inner = int64(first)
	}
}

func (f *freezer) writeNodes(t *Tree) {
	names := textWriter{to: t.names}
	for i, id := range f.list {
		n := f.b.nodes.at(id)
		r := t.nodes[i*nodeSize:]
		if i > 0 { // the root has no name, whatever rootDir was called
			at := names.add(f.b.name(n))
			binary.LittleEndian.PutUint32(r, at)
			binary.LittleEndian.PutUint16(r[4:], uint16(n.length))
			binary.LittleEndian.PutUint32(r[8:], f.b.nodes.at(n.parent).next)
		}
		r[6] = byte(n.kind)
		a, b, size, id := f.byKind(t, n, &names)
		binary.LittleEndian.PutUint32(r[12:], a)
		binary.LittleEndian.PutUint32(r[16:], b)
		binary.LittleEndian.PutUint64(r[24:], uint64(size))
		binary.LittleEndian.PutUint64(r[32:], id)
	}
}

// byKind is the second half of a node's record.
func (f *freezer) byKind(t *Tree, n *node, names *textWriter) (a, b uint32, size int64, id uint64) {
	switch {
	case n.kind == Dir:
		return n.a, n.b, 0, 0
	case n.kind == Symlink:
		l := f.links[n.next]
		target := f.b.texts.get(l.at, int(l.length))
		return names.add(target), l.length, int64(l.length), shortID(sha256.Sum256([]byte(target)))
	case n.b == 0:
		return 0, 0, 0, emptyID
	}
	first := uint32(f.b.chunks.at(n.a).inner)
	last := t.Chunk(first + n.b - 1)
	sum := contentID(int(n.b), func(i int) Chunk { return t.Chunk(first + uint32(i)) })
	return first, n.b, last.Offset + last.Size, shortID(sum)
}

var emptyID = shortID(sha256.Sum256(nil))

// shortID is the ID of what has that digest.
func shortID(d Digest) uint64 { return binary.LittleEndian.Uint64(d[:]) }

// textWriter puts texts one after another.
type textWriter struct {
	to []byte
	n  uint32
}

func (w *textWriter) add(s string) uint32 {
	at := w.n
	w.n += uint32(copy(w.to[at:], s))
	return at
}
