package tree

import "strings"

// maxHops is how many links the kernel follows in one path (MAXSYMLINKS in
// linux/namei.h).
const maxHops = 40

// resolve follows the link n through the whole layer, component by component
// as the kernel would in a container whose root is the layer's root. It
// returns nil when the link leads out of the layer, to nothing, or in circles.
func (b *Builder) resolve(n *building) *building {
	hops := 0
	return b.walk(n.parent, n.target, &hops)
}

func (b *Builder) walk(at *building, path string, hops *int) *building {
	if *hops++; *hops > maxHops {
		return nil
	}
	if strings.HasPrefix(path, "/") {
		at = b.root
	}
	for name := range strings.SplitSeq(path, "/") {
		if at = b.step(at, name, hops); at == nil {
			return nil
		}
	}
	return at
}

func (b *Builder) step(at *building, name string, hops *int) *building {
	if at.kind != Dir {
		return nil
	}
	switch name {
	case "", ".":
		return at
	case "..":
		return at.parent // nil above the root: the link leads out
	}
	next := at.children[name]
	if next != nil && next.kind == Symlink {
		return b.walk(at, next.target, hops)
	}
	return next
}

// within tells whether n is root or below it.
func (n *building) within(root *building) bool {
	for ; n != nil; n = n.parent {
		if n == root {
			return true
		}
	}
	return false
}

// relative is the path from the folder "from" to n, neither through a link.
// Both are below a common root.
func relative(from, n *building) string {
	above := map[*building]int{}
	for i, d := 0, from; d != nil; i, d = i+1, d.parent {
		above[d] = i
	}
	var down []string
	for {
		if ups, ok := above[n]; ok {
			return join(ups, down)
		}
		down = append(down, n.name)
		n = n.parent
	}
}

// join spells ups times ".." and then the names of down in reverse.
func join(ups int, down []string) string {
	parts := make([]string, 0, ups+len(down))
	for range ups {
		parts = append(parts, "..")
	}
	for i := len(down) - 1; i >= 0; i-- {
		parts = append(parts, down[i])
	}
	if len(parts) == 0 {
		return "."
	}
	return strings.Join(parts, "/")
}
