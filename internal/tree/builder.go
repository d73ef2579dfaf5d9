package tree

import (
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
)

// Limits of a tree. They bound what a hostile layer can cost.
const (
	MaxNodes = 1 << 20 // at about 130 bytes each with their name
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

// Builder is a tree that can still change: layers are applied to it one after
// another, then Freeze makes the Tree. It is not safe for concurrent use.
type Builder struct {
	root    *building
	count   int
	layer   uint32 // number of the layer that is being applied
	members []Member

	// The folder that folder found last: an archive names one file of a folder
	// after the other. Empty once something was taken out of the tree.
	lastDir    string
	lastFolder *building
	spare      []building // room for nodes, made for many at once
}

// building is a node of a Builder.
type building struct {
	kind     Kind
	name     string
	parent   *building
	children map[string]*building
	order    []*building // the children as they came, also those that were replaced
	target   string
	chunks   []Chunk
	size     int64
	layer    uint32 // the last one that had a say in it
	first    uint32 // number of the first chunk, once that is known
	shared   bool   // there are hard links to it
}

// NewBuilder gives an empty tree.
func NewBuilder() *Builder {
	return &Builder{root: newDir("", nil), count: 1}
}

func newDir(name string, parent *building) *building {
	return &building{kind: Dir, name: name, parent: parent, children: map[string]*building{}}
}

// BeginLayer says that what follows is of one more layer, which may replace
// what those before it hold. Inside one layer nothing may be two things, such
// as a file and a folder: readers of archives disagree on which of them wins.
func (b *Builder) BeginLayer() {
	b.layer++
	b.lastDir = ""
}

// AddMember makes a range of a layer's blob known, and gives the number by
// which chunks refer to it.
func (b *Builder) AddMember(layer int, offset, size int64) uint32 {
	return b.addMember(Member{Layer: layer, Offset: offset, Size: size})
}

// AddStored is AddMember for a range that holds content as it is, whatever it
// looks like.
func (b *Builder) AddStored(layer int, offset, size int64) uint32 {
	return b.addMember(Member{Layer: layer, Offset: offset, Size: size, Stored: true})
}

func (b *Builder) addMember(m Member) uint32 {
	b.members = append(b.members, m)
	return uint32(len(b.members) - 1)
}

// Mkdir makes the folder path, and those above it. A folder that is there
// stays, anything else of that name is replaced.
func (b *Builder) Mkdir(path string) error {
	if path == "." {
		return nil
	}
	dir, name := split(path)
	parent, err := b.folder(path, dir)
	if err != nil {
		return err
	}
	if old := parent.children[name]; old != nil && old.kind == Dir {
		old.layer = b.layer
		return nil
	}
	return b.attach(parent, newDir(name, parent))
}

// Create puts a file with that content at path, in place of what was there.
func (b *Builder) Create(path string, chunks []Chunk) error {
	var size int64
	for i := range chunks {
		c := &chunks[i]
		if c.Size <= 0 || c.Size > MaxChunk || c.Offset != size || int(c.Member) >= len(b.members) || c.Inner < 0 {
			return fmt.Errorf("%q: chunk %d of %d bytes at %d makes no sense", path, i, c.Size, c.Offset)
		}
		if size += c.Size; size < 0 {
			return fmt.Errorf("%q: size overflows", path)
		}
	}
	return b.put(path, b.node(building{kind: File, chunks: chunks, size: size}))
}

// node keeps a node.
func (b *Builder) node(n building) *building {
	if len(b.spare) == 0 {
		b.spare = make([]building, 128)
	}
	kept := &b.spare[0]
	b.spare = b.spare[1:]
	*kept = n
	return kept
}

// Symlink puts a link at path, in place of what was there. Where it leads is
// judged by Freeze, when all of the tree is known.
func (b *Builder) Symlink(path, target string) error {
	if target == "" || len(target) > MaxPath || strings.ContainsRune(target, 0) {
		return fmt.Errorf("%q: link target of %d bytes makes no sense", path, len(target))
	}
	return b.put(path, &building{kind: Symlink, target: target})
}

// Link puts the file at oldPath at path too. Its error is an fs.ErrNotExist
// when there is no such file.
func (b *Builder) Link(path, oldPath string) error {
	old := b.at(oldPath)
	if old == nil || old.kind == Dir || path == oldPath {
		return fmt.Errorf("%q: hard link to %q: %w", path, oldPath, fs.ErrNotExist)
	}
	old.shared = true
	return b.put(path, b.node(*old))
}

// Remove removes path with all below it; it may be absent.
func (b *Builder) Remove(path string) {
	if n := b.at(path); n != nil && n.parent != nil {
		b.detach(n)
	}
}

// Clear removes everything in the folder path, or in that to which a link of
// that name leads; it may be absent.
func (b *Builder) Clear(path string) {
	hops := 0
	if n := b.walk(b.root, path, &hops); n != nil {
		for _, c := range n.children {
			b.detach(c)
		}
	}
}

// minOrder keeps small folders from being tidied again and again.
const minOrder = 16

func (b *Builder) detach(n *building) {
	b.lastDir = ""
	delete(n.parent.children, n.name)
	b.count -= n.len()
}

// len counts n and all below it.
func (n *building) len() int {
	count := 1
	for _, c := range n.children {
		count += c.len()
	}
	return count
}

// at finds path; links on the way are followed, a last one is not.
func (b *Builder) at(path string) *building {
	if path == "." {
		return b.root
	}
	dir, name := split(path)
	hops := 0
	if parent := b.walk(b.root, dir, &hops); parent != nil {
		return parent.children[name]
	}
	return nil
}

// split parts a path into its folder and the last name.
func split(path string) (dir, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return ".", path
}

// folder finds dir, in which path is about to be put, and makes what is missing
// of it. Links on the way are followed as they would be if the layer were
// unpacked into a root of its own, which nothing leads out of: a program that
// writes to /var/run/x writes to /run/x when an earlier layer says so.
func (b *Builder) folder(path, dir string) (*building, error) {
	if dir == b.lastDir && dir != "" && validName(path[len(dir)+1:]) && len(path) <= MaxPath {
		return b.lastFolder, nil // what is above it was checked before
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if dir == "." {
		return b.root, nil
	}
	n, rest, hops := b.root, dir, 0
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		next, err := b.enter(n, name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", path, err)
		}
		if next.kind != Symlink {
			n = next
			continue
		}
		if hops++; hops > maxHops {
			return nil, fmt.Errorf("%q: more than %d links on the way", path, maxHops)
		}
		if rest = next.target + "/" + rest; rest[0] == '/' {
			n = b.root
		}
	}
	if hops > 0 && n.depth() >= MaxDepth {
		return nil, fmt.Errorf("%q…: more than %d folders deep", path[:min(64, len(path))], MaxDepth)
	}
	b.lastDir, b.lastFolder = dir, n
	return n, nil
}

// enter is what name is in the folder n, where a folder is wanted: one is made
// if there is nothing, or a file of an earlier layer.
func (b *Builder) enter(n *building, name string) (*building, error) {
	switch name {
	case "", ".":
		return n, nil
	case "..":
		if n.parent == nil {
			return n, nil
		}
		return n.parent, nil
	}
	next := n.children[name]
	if next == nil || next.kind == File {
		next = newDir(name, n)
		return next, b.attach(n, next)
	}
	if next.kind == Dir {
		next.layer = b.layer
	}
	return next, nil
}

// depth is how many folders n is in.
func (n *building) depth() int {
	depth := 0
	for ; n.parent != nil; n = n.parent {
		depth++
	}
	return depth
}

func (b *Builder) put(path string, n *building) error {
	if path == "." {
		return fmt.Errorf("the root of a layer is not a folder")
	}
	dir, name := split(path)
	parent, err := b.folder(path, dir)
	if err != nil {
		return err
	}
	n.name, n.parent = name, parent
	return b.attach(parent, n)
}

func (b *Builder) attach(parent, n *building) error {
	n.layer = b.layer
	if old := parent.children[n.name]; old != nil {
		if old.layer == b.layer && old.kind != n.kind {
			return fmt.Errorf("%q is both a %s and a %s", n.name, old.kind, n.kind)
		}
		b.count -= old.len()
		b.lastDir = ""
	}
	parent.children[n.name] = n
	parent.order = append(parent.order, n)
	if len(parent.order) > 2*len(parent.children)+minOrder {
		parent.order = slices.DeleteFunc(parent.order, func(c *building) bool { return parent.children[c.name] != c })
	}
	if b.count++; b.count > MaxNodes {
		return fmt.Errorf("more than %d files", MaxNodes)
	}
	return nil
}

// checkPath refuses what the kernel could not look up.
func checkPath(path string) error {
	switch {
	case !validPath(path):
		return fmt.Errorf("%q: not a path inside the layer", path)
	case len(path) > MaxPath:
		return fmt.Errorf("%q…: path of %d bytes, more than %d", path[:64], len(path), MaxPath)
	case strings.Count(path, "/") >= MaxDepth:
		return fmt.Errorf("%q…: more than %d folders deep", path[:64], MaxDepth)
	}
	for name := range strings.SplitSeq(path, "/") {
		if len(name) > MaxName {
			return fmt.Errorf("%q…: name of %d bytes, more than %d", name[:64], len(name), MaxName)
		}
	}
	return nil
}

// validPath is fs.ValidPath for names that need not be UTF-8: POSIX has any
// bytes but "/" and zero.
func validPath(path string) bool {
	if strings.IndexByte(path, 0) >= 0 || path == "" || len(path) > math.MaxUint16 {
		return false
	}
	if path == "." {
		return true
	}
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." || name == ".." {
			return false
		}
	}
	return true
}

// validName tells whether a folder can hold something of that name.
func validName(name string) bool {
	return len(name) <= MaxName && name != "." && validPath(name) && strings.IndexByte(name, '/') < 0
}
