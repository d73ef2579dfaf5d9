// Package compare tells what differs between two versions of a site: which files
// came, went and changed, and what that costs a visitor who has the first.
//
// It reads two trees and nothing else. It knows neither registries nor content:
// files are equal when their chunks have the same digests, so nothing is
// fetched. And it does not know who shows the result.
package compare

import (
	"encoding/binary"
	"iter"
	"strings"

	"github.com/regfs/regfs/internal/tree"
)

// Kind says what happened to a file.
type Kind string

// The kinds of changes.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// Change is one file that differs. A link counts as a file whose content is its
// target, of no bytes. Folders are not files: an empty one makes no difference.
type Change struct {
	Kind Kind   `json:"kind"`
	Path string `json:"path"` // as io/fs spells it
	From int64  `json:"from"` // bytes in the first version; 0 if it is not there
	To   int64  `json:"to"`   // bytes in the second
}

// Count is a number of files and how many bytes they have together.
type Count struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Totals are exact, however many changes are listed.
type Totals struct {
	Added   Count `json:"added"`
	Removed Count `json:"removed"`
	Changed Count `json:"changed"` // with the bytes that they have in the second version
	Was     int64 `json:"was"`     // the bytes of the changed files in the first version
	Same    Count `json:"same"`
	// Visitor is what a browser that has all of the first version fetches for
	// all of the second: what was added and changed. The rest is confirmed by
	// its ETag.
	Visitor Count `json:"visitor"`
	// Transfer is what a mount that has all of the first version fetches of the
	// registry for all of the second, in bytes of its layers: contents that are
	// in the first under any name cost nothing.
	Transfer int64 `json:"transfer"`
}

// Result is what differs between two trees.
type Result struct {
	Totals  Totals   `json:"totals"`
	Changes []Change `json:"changes"` // by path, component by component
	Omitted int      `json:"omitted"` // changes that are not listed
}

// All makes Trees list all changes.
const All = 2 * tree.MaxNodes

// Trees compares two trees, and lists at most limit changes.
func Trees(from, to *tree.Tree, limit int) Result {
	c := comparison{from: from, to: to, limit: limit, result: Result{Changes: []Change{}}}
	c.folders(tree.Root, tree.Root)
	t := &c.result.Totals
	t.Visitor = Count{t.Added.Files + t.Changed.Files, t.Added.Bytes + t.Changed.Bytes}
	t.Transfer = transfer(from, to)
	return c.result
}

type comparison struct {
	from, to *tree.Tree
	limit    int
	result   Result
}

// folders compares what is in two folders, which is ordered by name.
func (c *comparison) folders(a, b tree.Node) {
	a, left := c.from.Children(a)
	b, right := c.to.Children(b)
	for left > 0 || right > 0 {
		order := 0
		switch {
		case left == 0:
			order = 1
		case right == 0:
			order = -1
		default:
			order = strings.Compare(c.from.Name(a), c.to.Name(b))
		}
		switch {
		case order < 0:
			c.removed(a)
		case order > 0:
			c.added(b)
		default:
			c.both(a, b)
		}
		if order <= 0 {
			a, left = a+1, left-1
		}
		if order >= 0 {
			b, right = b+1, right-1
		}
	}
}

// both compares two nodes of the same path.
func (c *comparison) both(a, b tree.Node) {
	wasDir, isDir := c.from.Kind(a) == tree.Dir, c.to.Kind(b) == tree.Dir
	switch {
	case wasDir && isDir:
		c.folders(a, b)
	case wasDir || isDir:
		c.removed(a)
		c.added(b)
	case c.same(a, b):
		c.result.Totals.Same.add(bytes(c.to, b))
	default:
		was, is := bytes(c.from, a), bytes(c.to, b)
		c.result.Totals.Changed.add(is)
		c.result.Totals.Was += was
		c.note(Changed, c.to, b, was, is)
	}
}

func (c *comparison) added(n tree.Node) {
	each(c.to, n, func(n tree.Node) {
		size := bytes(c.to, n)
		c.result.Totals.Added.add(size)
		c.note(Added, c.to, n, 0, size)
	})
}

func (c *comparison) removed(n tree.Node) {
	each(c.from, n, func(n tree.Node) {
		size := bytes(c.from, n)
		c.result.Totals.Removed.add(size)
		c.note(Removed, c.from, n, size, 0)
	})
}

func (c *comparison) note(kind Kind, t *tree.Tree, n tree.Node, from, to int64) {
	if len(c.result.Changes) >= c.limit {
		c.result.Omitted++
		return
	}
	c.result.Changes = append(c.result.Changes, Change{Kind: kind, Path: t.Path(n), From: from, To: to})
}

// same tells whether two files or links hold the same. Contents that were cut
// into other chunks count as different: nobody knows without reading them. Ours
// and others' chunks are 4 MiB, so that this is about large files of packers
// that were told otherwise.
func (c *comparison) same(a, b tree.Node) bool {
	kind := c.from.Kind(a)
	if kind != c.to.Kind(b) || c.from.Size(a) != c.to.Size(b) {
		return false
	}
	if kind == tree.Symlink {
		return c.from.Target(a) == c.to.Target(b)
	}
	first, count := c.from.Chunks(a)
	other, otherCount := c.to.Chunks(b)
	if count != otherCount {
		return false
	}
	for i := range uint32(count) {
		if c.from.Chunk(first+i).Digest != c.to.Chunk(other+i).Digest {
			return false
		}
	}
	return true
}

// each visits the files and links at and below n.
func each(t *tree.Tree, n tree.Node, visit func(tree.Node)) {
	if t.Kind(n) != tree.Dir {
		visit(n)
		return
	}
	first, count := t.Children(n)
	for i := range tree.Node(count) {
		each(t, first+i, visit)
	}
}

func bytes(t *tree.Tree, n tree.Node) int64 {
	if t.Kind(n) != tree.File {
		return 0
	}
	return t.Size(n)
}

func (c *Count) add(size int64) {
	c.Files++
	c.Bytes += size
}

// Contents counts the regular files of a tree.
func Contents(t *tree.Tree) (c Count) {
	for n := range t.All {
		if t.Kind(n) == tree.File {
			c.add(bytes(t, n))
		}
	}
	return c
}

// transfer is the size of the members of to that hold a chunk which from lacks.
func transfer(from, to *tree.Tree) (total int64) {
	// Eight bytes of a digest do: two chunks that share them would make the sum
	// a little too small, and nothing is done by it.
	short := func(c tree.Chunk) uint64 { return binary.LittleEndian.Uint64(c.Digest[:]) }
	known := map[uint64]bool{}
	for c := range chunks(from) {
		known[short(c)] = true
	}
	counted := map[uint32]bool{}
	for c := range chunks(to) {
		if !known[short(c)] && !counted[c.Member] {
			counted[c.Member] = true
			total += to.Member(c.Member).Size
		}
	}
	return total
}

func chunks(t *tree.Tree) iter.Seq[tree.Chunk] {
	return func(yield func(tree.Chunk) bool) {
		for i := range uint32(t.Members()) {
			m := t.Member(i)
			for n := m.First; n < m.First+m.Count; n++ {
				if !yield(t.Chunk(n)) {
					return
				}
			}
		}
	}
}
