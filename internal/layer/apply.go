package layer

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/regfs/regfs/internal/tree"
)

// ErrFormat means that a layer is damaged or not what it says it is.
var ErrFormat = errors.New("malformed layer")

// Whiteouts: names in a layer that remove what lower layers hold.
// Source: image-spec, layer.md.
const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq" // hides all that lower layers have in its folder
	whiteoutMeta   = ".wh..wh."     // other names so begun were AUFS's own
)

// hidden are the top-level names that belong to the eStargz format and not to
// what was packed.
var hidden = map[string]bool{tocName: true, ".prefetch.landmark": true, ".no.prefetch.landmark": true}

// Kinds of entries that a tree does not have.
const (
	hardLink tree.Kind = 0x80 + iota
	device             // or a pipe or socket: not part of a site, but it hides what is below
)

// entry is what one layer holds under one path.
type entry struct {
	path   string
	kind   tree.Kind
	target string // of a symbolic or hard link
	chunks []tree.Chunk
}

// entries are what one layer holds, in its order.
type entries struct {
	within    string    // the folder in which all of it has to be, "" or "." for any
	list      [][]entry // in pieces: a slice that grows is there twice, and so is what it was made of
	count     int       // of all entries, also those that are no files
	whiteouts []string
	opaque    []string
}

// add takes an entry with the name it has in the archive.
func (e *entries) add(name string, n entry) error {
	clean, err := cleanName(name)
	if err != nil {
		return err
	}
	if !isWithin(clean, e.within) {
		return fmt.Errorf("%w: name %.200q is not in the folder %.200q", ErrFormat, name, e.within)
	}
	if e.count++; e.count > tree.MaxNodes {
		return fmt.Errorf("%w: more than %d entries", ErrFormat, tree.MaxNodes)
	}
	dir, base := path.Split(clean)
	switch {
	case base == whiteoutOpaque:
		e.opaque = append(e.opaque, path.Clean(dir))
	case strings.HasPrefix(base, whiteoutMeta):
	case base == whiteoutPrefix:
		return fmt.Errorf("%w: %.200q removes nothing", ErrFormat, name)
	case strings.HasPrefix(base, whiteoutPrefix):
		e.whiteouts = append(e.whiteouts, dir+strings.TrimPrefix(base, whiteoutPrefix))
	case hidden[clean]:
	default:
		n.path = clean
		e.append(n)
	}
	return nil
}

// entriesTogether is how many entries a piece of the list has, 64 KiB.
const entriesTogether = 1024

func (e *entries) append(n entry) {
	last := len(e.list) - 1
	if last < 0 || len(e.list[last]) == entriesTogether {
		e.list = append(e.list, nil)
		last++
	}
	e.list[last] = append(e.list[last], n)
}

// each goes through the entries in their order.
func (e *entries) each(yield func(entry) bool) {
	for _, piece := range e.list {
		for _, n := range piece {
			if !yield(n) {
				return
			}
		}
	}
}

// cleanName gives an archive's name as the tree spells it. Names of folders end
// with a slash, and "./" or "/" in front say nothing; ".." in it is an attempt
// at something else.
func cleanName(name string) (string, error) {
	if name == "" {
		return "", fmt.Errorf("%w: an entry without a name", ErrFormat)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: name %.200q leads out of the layer", ErrFormat, name)
		}
	}
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if clean == "" {
		return ".", nil
	}
	return clean, nil
}

// isWithin tells whether path is the folder dir or below it.
func isWithin(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return dir == "" || dir == "." || ok && (rest == "" || rest[0] == '/')
}

// apply puts the layer onto those before it: first it removes what its
// whiteouts name, wherever in the layer they stand, then it adds what it holds
// in its order, and last the hard links to what came after them.
func (e *entries) apply(b *tree.Builder) error {
	b.BeginLayer()
	for _, dir := range e.opaque {
		b.Clear(dir)
	}
	for _, name := range e.whiteouts {
		b.Remove(name)
	}
	var later []entry
	for i, piece := range e.list {
		for _, n := range piece {
			err := n.apply(b)
			if n.kind == hardLink && errors.Is(err, fs.ErrNotExist) {
				later = append(later, n)
			} else if err != nil {
				return fmt.Errorf("%w: %w", ErrFormat, err)
			}
		}
		e.list[i] = nil // the tree has it now
	}
	return applyLinks(b, later)
}

func (n *entry) apply(b *tree.Builder) error {
	switch n.kind {
	case tree.Dir:
		return b.Mkdir(n.path)
	case tree.File:
		return b.Create(n.path, n.chunks)
	case tree.Symlink:
		return b.Symlink(n.path, n.target)
	case hardLink:
		target, err := cleanName(n.target)
		if err != nil {
			return err
		}
		return b.Link(n.path, target)
	}
	b.Remove(n.path)
	return nil
}

// maxLinkRounds is how many hard links to hard links that come later may hang
// on each other. No tool writes any, and each costs a round over all of them.
const maxLinkRounds = 8

// applyLinks makes the hard links that are left. A link to a link that comes
// later needs another round; a round that makes none ends it.
func applyLinks(b *tree.Builder, links []entry) error {
	for round := 0; len(links) > 0; round++ {
		var later []entry
		for _, n := range links {
			switch err := n.apply(b); {
			case errors.Is(err, fs.ErrNotExist):
				later = append(later, n)
			case err != nil:
				return fmt.Errorf("%w: %w", ErrFormat, err)
			}
		}
		if len(later) == len(links) || len(later) > 0 && round == maxLinkRounds {
			return fmt.Errorf("%w: hard link %.200q to %.200q, which is not there", ErrFormat, later[0].path, later[0].target)
		}
		links = later
	}
	return nil
}
