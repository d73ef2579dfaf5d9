package tree

import "strings"

// Walk finds path, spelled as io/fs does, below dir. It follows links on the
// way, and the last name if follow.
func (t *Tree) Walk(dir Node, path string, follow bool) (Node, bool) {
	n := dir
	for path != "" {
		name, rest, _ := strings.Cut(path, "/")
		next, ok := t.step(n, name)
		if !ok {
			return 0, false
		}
		if t.Kind(next) == Symlink && (rest != "" || follow) {
			if next, ok = t.follow(next); !ok {
				return 0, false
			}
		}
		n, path = next, rest
	}
	return n, true
}

func (t *Tree) step(n Node, name string) (Node, bool) {
	switch name {
	case ".":
		return n, true
	case "..":
		return t.Parent(n), true
	}
	return t.Lookup(n, name)
}

// follow is where the link n leads. Freeze sees to it that a target passes no
// link; a tree that says otherwise was not made by it.
func (t *Tree) follow(n Node) (Node, bool) {
	to := t.Parent(n)
	for name := range strings.SplitSeq(t.Target(n), "/") {
		var ok bool
		if to, ok = t.step(to, name); !ok || t.Kind(to) == Symlink {
			return 0, false
		}
	}
	return to, true
}

// All visits every node but the root, folders before what is in them. It stops
// when yield returns false.
func (t *Tree) All(yield func(Node) bool) {
	for n := Root + 1; n < Node(t.Len()); n++ {
		if !yield(n) {
			return
		}
	}
}
