package tree

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"slices"
)

// Dropped is a link that a tree leaves out, and where it pointed.
type Dropped struct{ Path, Target string }

// Freeze makes the tree whose root is the folder rootDir. Links are replaced by
// ones that lead to the same place without passing another link; those that
// lead out of rootDir, to nothing or in circles are left out, since whoever
// follows them does it on their own machine. The Builder is of no use
// afterwards. The error is an fs.ErrNotExist when there is no such folder.
func (b *Builder) Freeze(rootDir string) (*Tree, []Dropped, error) {
	root := b.at(rootDir)
	if root == nil || root.kind != Dir {
		return nil, nil, fmt.Errorf("folder %q: %w", rootDir, fs.ErrNotExist)
	}
	f := freezer{builder: b, root: root}
	f.order()
	if err := f.write(); err != nil {
		return nil, nil, err
	}
	t, err := Load(f.assemble())
	return t, f.dropped, err
}

// freezer turns building nodes into the flat form.
type freezer struct {
	builder *Builder
	root    *building
	list    []*building // in the order of their numbers
	parent  []uint32
	first   []uint32 // of a folder: its first child
	dropped []Dropped

	nodes, chunks, members, names []byte
	chunkFirst                    map[*Chunk]uint32 // of hard links: number of the first chunk, by the identity of the slice
}

// order numbers the nodes breadth first, the children of a folder together and
// by name, and settles what each link leads to.
func (f *freezer) order() {
	f.list, f.parent = []*building{f.root}, []uint32{0}
	for i := 0; i < len(f.list); i++ {
		f.first = append(f.first, uint32(len(f.list)))
		for _, c := range f.kept(f.list[i]) {
			f.list = append(f.list, c)
			f.parent = append(f.parent, uint32(i))
		}
	}
}

// kept are the children of n that the tree shows, by name.
func (f *freezer) kept(n *building) []*building {
	kept := make([]*building, 0, len(n.children))
	for _, c := range n.order {
		if len(n.order) > len(n.children) && n.children[c.name] != c {
			continue // it was replaced or removed
		}
		if c.kind == Symlink {
			to := f.builder.resolve(c)
			if to == nil || !to.within(f.root) {
				f.dropped = append(f.dropped, Dropped{f.path(c), c.target})
				continue
			}
			c = &building{kind: Symlink, name: c.name, target: relative(n, to)}
		}
		kept = append(kept, c)
	}
	byName := func(a, b *building) int { return cmp.Compare(a.name, b.name) }
	if !slices.IsSortedFunc(kept, byName) { // an archive often is
		slices.SortFunc(kept, byName)
	}
	return kept
}

func (f *freezer) path(n *building) string {
	path := n.name
	for n = n.parent; n != f.root; n = n.parent {
		path = n.name + "/" + path
	}
	return path
}

func (f *freezer) write() error {
	if err := f.writeChunks(); err != nil {
		return err
	}
	f.nodes = make([]byte, 0, len(f.list)*nodeSize)
	for i, n := range f.list {
		r := binary.LittleEndian.AppendUint32(f.nodes, uint32(len(f.names)))
		r = binary.LittleEndian.AppendUint16(r, uint16(len(n.name)))
		r = append(r, byte(n.kind), 0)
		r = binary.LittleEndian.AppendUint32(r, f.parent[i])
		if n != f.root {
			f.names = append(f.names, n.name...)
		} else {
			binary.LittleEndian.PutUint16(r[len(r)-8:], 0) // the root has no name, whatever rootDir was called
		}
		f.nodes = f.appendByKind(r, n, i)
	}
	if len(f.names) > math.MaxUint32 {
		return fmt.Errorf("names of %d bytes in all", len(f.names))
	}
	return nil
}

// appendByKind writes the second half of a node record.
func (f *freezer) appendByKind(r []byte, n *building, i int) []byte {
	var a, b uint32
	var size, id uint64
	switch n.kind {
	case Dir:
		a, b = f.first[i], f.next(i)-f.first[i]
	case File:
		a, b = n.first, uint32(len(n.chunks))
		if n.shared && len(n.chunks) > 0 {
			a = f.chunkFirst[&n.chunks[0]]
		}
		d := ContentID(n.chunks)
		size, id = uint64(n.size), binary.LittleEndian.Uint64(d[:])
	case Symlink:
		a, b = uint32(len(f.names)), uint32(len(n.target))
		f.names = append(f.names, n.target...)
		d := sha256.Sum256([]byte(n.target))
		size, id = uint64(len(n.target)), binary.LittleEndian.Uint64(d[:])
	}
	r = binary.LittleEndian.AppendUint32(r, a)
	r = binary.LittleEndian.AppendUint32(r, b)
	r = binary.LittleEndian.AppendUint32(r, 0)
	r = binary.LittleEndian.AppendUint64(r, size)
	return binary.LittleEndian.AppendUint64(r, id)
}

// next is the number after the last child of node i.
func (f *freezer) next(i int) uint32 {
	if i+1 < len(f.first) {
		return f.first[i+1]
	}
	return uint32(len(f.list))
}

// writeChunks orders the chunks by where they lie, so that those of a member
// are together, and writes both tables. Hard links share their chunks.
func (f *freezer) writeChunks() error {
	number := f.sortMembers()
	spans := make([]Member, len(number))
	count, last := uint32(0), int64(-1)
	var end int64 // of the chunk before, in its member
	for _, n := range f.contents(number) {
		n.first = count
		if n.shared {
			f.chunkFirst[&n.chunks[0]] = count
		}
		for _, c := range n.chunks {
			m := number[c.Member]
			if int64(m) != last {
				end = 0
			}
			if int64(m) < last || c.Inner < end {
				return fmt.Errorf("the chunks of a file overlap those of another, or lie in the blob in another order than in the file")
			}
			last, end = int64(m), c.Inner+c.Size
			if spans[m].Count++; spans[m].Count == 1 {
				spans[m].First = count
			}
			f.appendChunk(c, m)
			count++
		}
	}
	f.writeMembers(number, spans)
	return nil
}

// contents are the files that have bytes, of hard links one, in the order in
// which they lie in the layers.
func (f *freezer) contents(number []uint32) []*building {
	f.chunkFirst = map[*Chunk]uint32{}
	all := make([]*building, 0, len(f.list))
	chunks := 0
	for _, n := range f.list {
		if n.kind != File || len(n.chunks) == 0 {
			continue
		}
		if n.shared {
			if _, ok := f.chunkFirst[&n.chunks[0]]; ok {
				continue
			}
			f.chunkFirst[&n.chunks[0]] = 0
		}
		all = append(all, n)
		chunks += len(n.chunks)
	}
	f.chunks = make([]byte, 0, chunks*chunkSize)
	byPlace := func(x, y *building) int {
		return cmp.Or(cmp.Compare(number[x.chunks[0].Member], number[y.chunks[0].Member]), cmp.Compare(x.chunks[0].Inner, y.chunks[0].Inner))
	}
	if !slices.IsSortedFunc(all, byPlace) { // no two have the same place, or writeChunks refuses them
		slices.SortFunc(all, byPlace)
	}
	return all
}

// sortMembers gives each member of the builder its number in the tree, ordered
// by layer and offset.
func (f *freezer) sortMembers() []uint32 {
	all := f.builder.members
	order := make([]uint32, len(all))
	for i := range order {
		order[i] = uint32(i)
	}
	byPlace := func(x, y uint32) int {
		return cmp.Or(cmp.Compare(all[x].Layer, all[y].Layer), cmp.Compare(all[x].Offset, all[y].Offset))
	}
	if !slices.IsSortedFunc(order, byPlace) {
		slices.SortStableFunc(order, byPlace)
	}
	number := make([]uint32, len(all))
	for i, m := range order {
		number[m] = uint32(i)
	}
	return number
}

func (f *freezer) appendChunk(c Chunk, member uint32) {
	r := append(f.chunks, c.Digest[:]...)
	r = binary.LittleEndian.AppendUint64(r, uint64(c.Offset))
	r = binary.LittleEndian.AppendUint64(r, uint64(c.Inner))
	r = binary.LittleEndian.AppendUint32(r, uint32(c.Size))
	f.chunks = binary.LittleEndian.AppendUint32(r, member)
}

func (f *freezer) writeMembers(number []uint32, spans []Member) {
	f.members = make([]byte, len(number)*memberSize)
	for i, m := range f.builder.members {
		n := number[i]
		r := f.members[int(n)*memberSize:]
		binary.LittleEndian.PutUint32(r, uint32(m.Layer))
		binary.LittleEndian.PutUint32(r[4:], spans[n].First)
		binary.LittleEndian.PutUint32(r[8:], spans[n].Count)
		if m.Stored {
			binary.LittleEndian.PutUint32(r[12:], 1)
		}
		binary.LittleEndian.PutUint64(r[16:], uint64(m.Offset))
		binary.LittleEndian.PutUint64(r[24:], uint64(m.Size))
	}
}

func (f *freezer) assemble() []byte {
	b := make([]byte, 0, headerSize+len(f.nodes)+len(f.chunks)+len(f.members)+len(f.names))
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.list)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.chunks)/chunkSize))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.members)/memberSize))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.names)))
	b = binary.LittleEndian.AppendUint64(b, 0)
	b = append(b, f.nodes...)
	b = append(b, f.chunks...)
	b = append(b, f.members...)
	return append(b, f.names...)
}
