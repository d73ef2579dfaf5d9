package tree

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Dropped is a link that a tree leaves out, and where it pointed.
type Dropped struct{ Path, Target string }

// Freeze makes the tree whose root is the folder rootDir. Links are replaced by
// ones that lead to the same place without passing another link; those that
// lead out of rootDir, to nothing or in circles are left out, since whoever
// follows them does it on their own machine. The Builder is of no use
// afterwards, unless the error is an fs.ErrNotExist: there is no such folder.
func (b *Builder) Freeze(rootDir string) (*Tree, []Dropped, error) {
	root, ok := b.at(rootDir)
	if !ok || b.nodes.at(root).kind != Dir {
		return nil, nil, fmt.Errorf("folder %q: %w", rootDir, fs.ErrNotExist)
	}
	f := freezer{b: b, root: root}
	if err := f.order(); err != nil {
		return nil, nil, err
	}
	f.sortMembers()
	f.sortFiles()
	if err := f.checkChunks(); err != nil {
		return nil, nil, err
	}
	t, err := Load(f.write())
	return t, f.dropped, err
}

// freezer turns the nodes of a Builder into the flat form. It does not begin
// with that before it knows that there will be a tree.
type freezer struct {
	b       *Builder
	root    uint32
	list    []uint32 // nodes, in the order of their numbers in the tree
	links   []link   // what the links in it say
	names   int      // bytes of names and targets in the tree
	dropped []Dropped

	files   []uint32 // nodes with a content, of hard links one, by where it lies
	number  []uint32 // of each member in the tree
	members int      // in the tree
	chunks  int      // in the tree
}

// link says where the target of a link is, and its length.
type link struct{ at, length uint32 }

// order numbers the nodes breadth first, the children of a folder together and
// by name, and settles what each link leads to. The node of a folder then says
// which number it has in the tree (next), which its first child has, and how
// many there are (a, b).
func (f *freezer) order() error {
	f.list = append(make([]uint32, 0, f.b.count), f.root)
	for i := 0; i < len(f.list); i++ {
		folder := f.b.nodes.at(f.list[i])
		if folder.kind != Dir {
			continue
		}
		first := len(f.list)
		if err := f.listChildren(folder); err != nil {
			return err
		}
		folder.next, folder.a, folder.b = uint32(i), uint32(first), uint32(len(f.list)-first)
	}
	return nil
}

// listChildren lists what the tree shows of a folder, by name.
func (f *freezer) listChildren(folder *node) error {
	first := len(f.list)
	for id := folder.a; id != 0; {
		n := f.b.nodes.at(id)
		next := n.next
		keep, err := f.keep(n)
		if err != nil {
			return err
		}
		if keep {
			f.list = append(f.list, id)
			f.names += int(n.length)
		}
		id = next
	}
	kept := f.list[first:]
	slices.Reverse(kept) // they are listed last one first
	byName := func(x, y uint32) int { return cmp.Compare(f.b.name(f.b.nodes.at(x)), f.b.name(f.b.nodes.at(y))) }
	if !slices.IsSortedFunc(kept, byName) { // an archive often is
		slices.SortFunc(kept, byName)
	}
	return nil
}

// keep tells whether the tree shows a node. That of a link which it shows then
// says which of links it is (next), that of a file that it is shown.
func (f *freezer) keep(n *node) (bool, error) {
	switch n.kind {
	case Dir:
		return true, nil
	case File:
		n.next = shown
		return true, nil
	case Symlink:
		return f.keepLink(n)
	}
	return false, nil // it was removed
}

// shown is what a file of the tree has for the one before it.
const shown = ^uint32(0)

func (f *freezer) keepLink(n *node) (bool, error) {
	to, ok := f.b.resolve(n)
	path := ""
	if ok = ok && f.b.within(to, f.root); ok {
		path = f.b.relative(n.parent, to)
	}
	if !ok || len(path) > MaxPath {
		d := Dropped{f.path(n), strings.Clone(f.b.target(n))}
		f.dropped = append(f.dropped, d)
		return false, f.b.Reserve(len(d.Path) + nodeCost)
	}
	n.next = uint32(len(f.links))
	f.links = append(f.links, link{f.b.texts.add(&f.b.outside, path), uint32(len(path))})
	f.names += len(path)
	return true, f.b.Reserve(len(path))
}

// path is the path of a node in the tree.
func (f *freezer) path(n *node) string {
	path := strings.Clone(f.b.name(n))
	for id := n.parent; id != f.root; id = n.parent {
		n = f.b.nodes.at(id)
		path = f.b.name(n) + "/" + path
	}
	return path
}

// sortMembers gives each member of the builder its number in the tree, ordered
// by layer and offset. Those of one place have one number.
func (f *freezer) sortMembers() {
	members := &f.b.members
	order := make([]uint32, members.n)
	for i := range order {
		order[i] = uint32(i)
	}
	byPlace := func(x, y uint32) int {
		m, n := members.at(x), members.at(y)
		return cmp.Or(cmp.Compare(m.layer, n.layer), cmp.Compare(m.offset, n.offset))
	}
	if !slices.IsSortedFunc(order, byPlace) {
		slices.SortStableFunc(order, byPlace)
	}
	f.number = make([]uint32, members.n)
	for i, m := range order {
		if i == 0 || *members.at(m) != *members.at(order[i-1]) {
			f.members++
		}
		f.number[m] = uint32(f.members - 1)
	}
}

// sortFiles lists the files that have bytes, of hard links one, in the order in
// which they lie in the layers. It is that in which they came, most often.
func (f *freezer) sortFiles() {
	f.files = make([]uint32, 0, len(f.list))
	for id := range f.b.nodes.n {
		if n := f.b.nodes.at(id); n.kind == File && n.b > 0 && n.next == shown {
			f.files = append(f.files, id)
		}
	}
	byPlace := func(x, y uint32) int {
		p, q := f.b.chunks.at(f.b.nodes.at(x).a), f.b.chunks.at(f.b.nodes.at(y).a)
		return cmp.Or(cmp.Compare(f.number[p.member], f.number[q.member]), cmp.Compare(p.inner, q.inner))
	}
	if !slices.IsSortedFunc(f.files, byPlace) { // no two have the same place, or checkChunks refuses them
		slices.SortFunc(f.files, byPlace)
	}
	f.files = slices.CompactFunc(f.files, func(x, y uint32) bool { return f.b.nodes.at(x).a == f.b.nodes.at(y).a })
}

// checkChunks sees to it that each chunk lies behind the one before it.
func (f *freezer) checkChunks() error {
	last, end := uint32(0), int64(0) // the member of the chunk before, and where in it that ends
	for _, id := range f.files {
		n := f.b.nodes.at(id)
		for i := n.a; i < n.a+n.b; i++ {
			c := f.b.chunks.at(i)
			m := f.number[c.member]
			if m > last {
				last, end = m, 0
			}
			if m < last || c.inner < end {
				return fmt.Errorf("the chunks of a file overlap those of another, or lie in the blob in another order than in the file")
			}
			end = c.inner + int64(c.size)
			f.chunks++
		}
	}
	return nil
}
