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
	whiteout           // removes what is below
	opaque             // removes all that is below in a folder
)

// entries puts what one layer holds into a tree, in its order. The first layer
// goes there at once. What is in another waits for its end, since it may remove
// what the layers before it hold, wherever in the layer it says so.
type entries struct {
	b      *tree.Builder
	within string // the folder in which all of it has to be, "" or "." for any
	direct bool   // there is nothing to remove
	count  int    // of all entries, also those that are no files
}

// begin begins with a layer of which all has to be in the folder within.
func begin(b *tree.Builder, within string) entries {
	e := entries{b: b, within: within, direct: b.Empty()}
	b.BeginLayer()
	return e
}

// add takes an entry with the name that it has in the archive.
func (e *entries) add(n tree.Entry) error {
	name := n.Path
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
	n.Path = clean
	switch dir, base := path.Split(clean); {
	case strings.HasPrefix(base, whiteoutPrefix):
		return e.remove(dir, base)
	case isHidden(clean):
		return nil
	case e.direct:
		if done, err := e.put(n); done || err != nil {
			return err
		}
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
		return e.wait(tree.Entry{Kind: opaque, Path: path.Clean(dir)})
	case strings.HasPrefix(base, whiteoutMeta):
		return nil
	default:
		return e.wait(tree.Entry{Kind: whiteout, Path: dir + name})
	}
}

func (e *entries) wait(n tree.Entry) error { return malformedEntry(e.b.Wait(n)) }

func malformedEntry(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// put puts an entry into the tree. A hard link to what is not there yet is not
// done with.
func (e *entries) put(n tree.Entry) (done bool, err error) {
	err = apply(e.b, n)
	if n.Kind == hardLink && errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, malformedEntry(err)
}

// end puts what has waited onto the layers before this one: first it removes
// what the whiteouts name, then it adds what the layer holds, and last the hard
// links to what came after them.
func (e *entries) end() error {
	defer e.b.EndWaiting()
	for _, step := range []func(tree.Entry) (bool, error){e.hide, e.put} {
		if err := e.b.Waiting(step); err != nil {
			return err
		}
	}
	return e.link()
}

// hide removes what a whiteout names.
func (e *entries) hide(n tree.Entry) (done bool, err error) {
	switch n.Kind {
	case opaque:
		e.b.Clear(n.Path)
	case whiteout:
		e.b.Remove(n.Path)
	default:
		return false, nil
	}
	return true, nil
}

// maxLinkRounds is how many hard links to hard links that come later may hang
// on each other. No tool writes any, and each costs a round over all of them.
const maxLinkRounds = 8

// link makes the hard links that are left, which are all that waits. A link to a
// link that comes later needs another round; a round that makes none ends it.
func (e *entries) link() error {
	for round, before := 0, -1; ; round++ {
		left, last := 0, tree.Entry{}
		err := e.b.Waiting(func(n tree.Entry) (bool, error) {
			err := apply(e.b, n)
			if errors.Is(err, fs.ErrNotExist) {
				left, last = left+1, n
				return false, nil
			}
			return err == nil, malformedEntry(err)
		})
		switch {
		case err != nil || left == 0:
			return err
		case left == before || round == maxLinkRounds:
			return fmt.Errorf("%w: hard link %.200q to %.200q, which is not there", ErrFormat, last.Path, last.Target)
		}
		before = left
	}
}

// apply puts an entry into a tree.
func apply(b *tree.Builder, n tree.Entry) error {
	switch n.Kind {
	case tree.Dir:
		return b.Mkdir(n.Path)
	case tree.File:
		return b.Place(n.Path, n.Pieces)
	case tree.Symlink:
		return b.Symlink(n.Path, n.Target)
	case hardLink:
		target, err := cleanName(n.Target)
		if err != nil {
			return err
		}
		return b.Link(n.Path, target)
	}
	b.Omit(n.Path)
	return nil
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
