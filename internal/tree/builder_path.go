package tree

import (
	"fmt"
	"math"
	"strings"
)

// at finds path; links on the way are followed, a last one is not.
func (b *Builder) at(path string) (uint32, bool) {
	if path == "." {
		return 0, true
	}
	dir, name := split(path)
	hops := 0
	parent, ok := b.walk(0, dir, &hops)
	if !ok {
		return 0, false
	}
	id := b.child(parent, name)
	return id, id != 0
}

// split parts a path into its folder and the last name.
func split(path string) (dir, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return ".", path
}

// folder finds the folder in which path is about to be put, and makes what is
// missing of it. Links on the way are followed as they would be if the layer were
// unpacked into a root of its own, which nothing leads out of: a program that
// writes to /var/run/x writes to /run/x when an earlier layer says so.
func (b *Builder) folder(path string) (parent uint32, name string, err error) {
	dir, name := split(path)
	if b.lastIsGood && dir == string(b.lastDir) && validName(name) && len(path) <= MaxPath {
		return b.lastFolder, name, nil // what is above it was checked before
	}
	if err := checkPath(path); err != nil {
		return 0, "", err
	}
	n, rest, hops := uint32(0), dir, 0
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		next, err := b.enter(n, part)
		if err != nil {
			return 0, "", fmt.Errorf("%q: %w", path, err)
		}
		link := b.nodes.at(next)
		if link.kind != Symlink {
			n = next
			continue
		}
		if hops++; hops > maxHops {
			return 0, "", fmt.Errorf("%q: more than %d links on the way", path, maxHops)
		}
		if rest = b.target(link) + "/" + rest; rest[0] == '/' {
			n = 0
		}
	}
	if hops > 0 && b.depth(n) >= MaxDepth {
		return 0, "", fmt.Errorf("%q…: more than %d folders deep", path[:min(64, len(path))], MaxDepth)
	}
	b.lastDir, b.lastFolder, b.lastIsGood = append(b.lastDir[:0], dir...), n, true
	return n, name, nil
}

// enter is what name is in the folder id, where a folder is wanted: one is made
// if there is nothing, or a file of an earlier layer.
func (b *Builder) enter(id uint32, name string) (uint32, error) {
	switch name {
	case "", ".":
		return id, nil
	case "..":
		return b.nodes.at(id).parent, nil // the root's is the root
	}
	next := b.child(id, name)
	if next == 0 || b.nodes.at(next).kind == File {
		return b.attach(id, name, node{kind: Dir})
	}
	if n := b.nodes.at(next); n.kind == Dir {
		n.layer = b.layer
	}
	return next, nil
}

// depth is how many folders the node id is in.
func (b *Builder) depth(id uint32) int {
	depth := 0
	for ; id != 0; id = b.nodes.at(id).parent {
		depth++
	}
	return depth
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
	return name != "" && len(name) <= MaxName && name != "." && name != ".." &&
		strings.IndexByte(name, 0) < 0 && strings.IndexByte(name, '/') < 0
}
