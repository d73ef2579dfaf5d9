package tree

import "strings"

// maxHops is how many links the kernel follows in one path (MAXSYMLINKS in
// linux/namei.h).
const maxHops = 40

// resolve follows a link through the whole layer, component by component as the
// kernel would in a container whose root is the layer's root. It fails when the
// link leads out of the layer, to nothing, or in circles.
func (b *Builder) resolve(link *node) (uint32, bool) {
	hops := 0
	return b.walk(link.parent, b.target(link), &hops)
}

func (b *Builder) walk(at uint32, path string, hops *int) (uint32, bool) {
	if *hops++; *hops > maxHops {
		return 0, false
	}
	if strings.HasPrefix(path, "/") {
		at = 0
	}
	for name := range strings.SplitSeq(path, "/") {
		var ok bool
		if at, ok = b.step(at, name, hops); !ok {
			return 0, false
		}
	}
	return at, true
}

func (b *Builder) step(at uint32, name string, hops *int) (uint32, bool) {
	n := b.nodes.at(at)
	if n.kind != Dir {
		return 0, false
	}
	switch name {
	case "", ".":
		return at, true
	case "..":
		return n.parent, at != 0 // above the root: the link leads out
	}
	id := b.child(at, name)
	if id == 0 {
		return 0, false
	}
	if next := b.nodes.at(id); next.kind == Symlink {
		return b.walk(at, b.target(next), hops)
	}
	return id, true
}

// within tells whether the node id is root or below it.
func (b *Builder) within(id, root uint32) bool {
	for id != root && id != 0 {
		id = b.nodes.at(id).parent
	}
	return id == root
}

// relative is the path from the folder "from" to the node "to", neither through
// a link.
func (b *Builder) relative(from, to uint32) string {
	var parts, down []string
	for up, deep := b.depth(from), b.depth(to); from != to; {
		if up >= deep {
			parts = append(parts, "..")
			from, up = b.nodes.at(from).parent, up-1
			continue
		}
		n := b.nodes.at(to)
		down = append(down, b.name(n))
		to, deep = n.parent, deep-1
	}
	for i := len(down) - 1; i >= 0; i-- {
		parts = append(parts, down[i])
	}
	if len(parts) == 0 {
		return "."
	}
	return strings.Join(parts, "/")
}
