package bundle

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of Linux: a component is at most NAME_MAX bytes, a path PATH_MAX with
// its terminating zero.
const (
	maxName = 255
	maxPath = 4095
)

// maxRefused is how many refused files one error names.
const maxRefused = 20

// refusals gathers the files that cannot be packed.
type refusals struct{ places }

func (r *refusals) add(name, why string) {
	r.places.addUpTo(maxRefused, shownName(name)+": "+why)
}

// err is nil when nothing was refused.
func (r *refusals) err(dir string) error {
	n := len(r.shown) + r.more
	if n == 0 {
		return nil
	}
	if n == 1 {
		return fmt.Errorf("%s/%s", strings.TrimSuffix(shownName(dir), "/"), r.shown[0])
	}
	return fmt.Errorf("%s: %d files cannot be packed:\n  %s", shownName(dir), n, strings.Join(r.lines(), "\n  "))
}

// places is a list that shows its first few and counts the others.
type places struct {
	shown []string
	more  int
}

// maxPlaces is how many places a warning shows.
const maxPlaces = 10

func (p *places) add(place string) { p.addUpTo(maxPlaces, place) }

func (p *places) addUpTo(most int, place string) {
	if len(p.shown) == most {
		p.more++
		return
	}
	p.shown = append(p.shown, place)
}

func (p *places) lines() []string {
	if p.more == 0 {
		return p.shown
	}
	return append(p.shown[:len(p.shown):len(p.shown)], fmt.Sprintf("and %d more", p.more))
}

// mountFolder is the name in the root of a site that the mount takes for what it
// tells of the site.
const mountFolder = ".regfs"

// refuseName says why no layer can hold the path p, or why nobody would see it, or "".
func refuseName(p string) string {
	switch base := path.Base(p); {
	case !utf8.ValidString(base):
		return "the name is not UTF-8, which a table of contents cannot hold: rename it"
	case strings.HasPrefix(base, ".wh."):
		return `in a layer, a name that begins with ".wh." deletes another file: rename it`
	case p == mountFolder:
		return "the mount shows a folder of its own under this name: rename it, or list it in " + ignoreFile
	case len(base) > maxName:
		return fmt.Sprintf("the name has %d bytes, more than %d: shorten it", len(base), maxName)
	case len(rootDir)+1+len(p) > maxPath:
		return fmt.Sprintf("the path has %d bytes, more than %d: move it up or shorten it", len(p), maxPath-len(rootDir)-1)
	}
	return ""
}

// refuseType says why a file of type t is not packed.
func refuseType(t fs.FileMode) string {
	kind := "neither file, folder nor symbolic link"
	switch {
	case t&fs.ModeSocket != 0:
		kind = "a socket"
	case t&fs.ModeNamedPipe != 0:
		kind = "a FIFO"
	case t&fs.ModeDevice != 0:
		kind = "a device"
	}
	return kind + ", which has no content to publish: remove it or list it in " + ignoreFile
}

// shownName quotes names that would garble a terminal or a log.
func shownName(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return strconv.Quote(name)
	}
	return name
}
