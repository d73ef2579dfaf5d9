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

// isHidden tells whether a path belongs to the eStargz format and not to what
// was packed.
func isHidden(path string) bool {
	switch path {
	case tocName, ".prefetch.landmark", ".no.prefetch.landmark":
		return true
	}
	return false
}

// Kinds of entries that a tree does not have.
const (
	hardLink tree.Kind = 0x80 + iota
	device             // or a pipe or socket: not part of a site, but it hides what is below
)

// entry is what one layer holds under one path. Its strings may be gone when
// the next entry is read.
type entry struct {
	path   string
	kind   tree.Kind
	target string // of a symbolic or hard link
	pieces tree.Pieces
}

// entryCost is what an entry that waits costs beside its strings, in bytes.
const entryCost = 64

// entries puts what one layer holds into a tree, in its order. The first layer
// goes there at once. What is in another waits for its end, since it may remove
// what the layers before it hold, wherever in the layer it says so.
type entries struct {
	b         *tree.Builder
	within    string    // the folder in which all of it has to be, "" or "." for any
	direct    bool      // there is nothing to remove
	count     int       // of all entries, also those that are no files
	waiting   [][]entry // in pieces: a slice that grows is there twice, and so is what it was made of
	links     []entry   // hard links to what was not there yet
	whiteouts []string
	opaque    []string
}

// begin begins with a layer of which all has to be in the folder within.
func begin(b *tree.Builder, within string) entries {
	e := entries{b: b, within: within, direct: b.Empty()}
	b.BeginLayer()
	return e
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
	n.path = clean
	switch dir, base := path.Split(clean); {
	case strings.HasPrefix(base, whiteoutPrefix):
		return e.remove(dir, base)
	case isHidden(clean):
		return nil
	case e.direct:
		return e.put(n)
	}
	return e.wait(n)
}

// remove takes a whiteout.
func (e *entries) remove(dir, base string) error {
	switch name := base[len(whiteoutPrefix):]; {
	case name == "":
		return fmt.Errorf("%w: %.200q removes nothing", ErrFormat, dir+base)
	case e.direct:
		return nil
	case base == whiteoutOpaque:
		e.opaque = append(e.opaque, path.Clean(dir))
	case !strings.HasPrefix(base, whiteoutMeta):
		e.whiteouts = append(e.whiteouts, dir+name)
	}
	return e.reserve(entryCost + len(dir) + len(base))
}

func (e *entries) reserve(n int) error {
	if err := e.b.Reserve(n); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}

// entriesTogether is how many entries a piece of the list has, 64 KiB.
const entriesTogether = 1024

// wait keeps an entry until all of the layer has been read.
func (e *entries) wait(n entry) error {
	last := len(e.waiting) - 1
	if last < 0 || len(e.waiting[last]) == entriesTogether {
		e.waiting = append(e.waiting, nil)
		last++
	}
	e.waiting[last] = append(e.waiting[last], n.clone())
	return e.reserve(entryCost + len(n.path) + len(n.target))
}

func (n *entry) clone() entry {
	return entry{strings.Clone(n.path), n.kind, strings.Clone(n.target), n.pieces}
}

// put puts an entry into the tree, or a hard link aside if there is not yet what
// it means.
func (e *entries) put(n entry) error {
	err := n.apply(e.b)
	switch {
	case n.kind == hardLink && errors.Is(err, fs.ErrNotExist):
		e.links = append(e.links, n.clone())
		return e.reserve(entryCost + len(n.path) + len(n.target))
	case err != nil:
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}

// end puts what has waited onto the layers before this one: first it removes
// what the whiteouts name, then it adds what the layer holds, and last the hard
// links to what came after them.
func (e *entries) end() error {
	for _, dir := range e.opaque {
		e.b.Clear(dir)
	}
	for _, name := range e.whiteouts {
		e.b.Remove(name)
	}
	for i, piece := range e.waiting {
		for _, n := range piece {
			if err := e.put(n); err != nil {
				return err
			}
		}
		e.waiting[i] = nil // the tree has it now
	}
	return applyLinks(e.b, e.links)
}

// cleanName gives an archive's name as the tree spells it. Names of folders end
// with a slash, and "./" or "/" in front say nothing; ".." in it is an attempt
// at something else.
func cleanName(name string) (string, error) {
	if isClean(name) {
		return name, nil
	}
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

// isClean tells whether a name is as the tree spells it, as nearly all are: no
// part of it is empty or begins with a dot, which may be more than one.
func isClean(name string) bool {
	begin := true // of a part
	for i := range len(name) {
		slash := name[i] == '/'
		if begin && (slash || name[i] == '.') {
			return false
		}
		begin = slash
	}
	return !begin
}

// isWithin tells whether path is the folder dir or below it.
func isWithin(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return dir == "" || dir == "." || ok && (rest == "" || rest[0] == '/')
}

func (n *entry) apply(b *tree.Builder) error {
	switch n.kind {
	case tree.Dir:
		return b.Mkdir(n.path)
	case tree.File:
		return b.Place(n.path, n.pieces)
	case tree.Symlink:
		return b.Symlink(n.path, n.target)
	case hardLink:
		target, err := cleanName(n.target)
		if err != nil {
			return err
		}
		return b.Link(n.path, target)
	}
	b.Omit(n.path)
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
