package bundle

import (
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/regfs/regfs/internal/layer"
)

// maxLinks is how many symbolic links Linux follows in one lookup.
const maxLinks = 40

// destination is where a symbolic link leads.
type destination int

const (
	leadsIn      destination = iota // to something that is packed
	leadsNowhere                    // to nothing that is packed, or in a circle
	leadsOut                        // out of the folder
)

// linkMap knows what is packed, by path in the folder; "" is the folder.
type linkMap map[string]layer.PackEntry

func newLinkMap(entries []layer.PackEntry) linkMap {
	m := make(linkMap, len(entries))
	for _, e := range entries {
		m[strings.TrimPrefix(strings.TrimPrefix(e.Name, rootDir), "/")] = e
	}
	return m
}

// follow resolves the link at p component by component, as the kernel does: what
// ".." means depends on where the links before it lead.
func (m linkMap) follow(p string) destination {
	at := parent(p)
	rest := strings.Split(m[p].Link, "/")
	if strings.HasPrefix(m[p].Link, "/") {
		return leadsOut
	}
	missing := false
	for hops := 1; len(rest) > 0; {
		step := rest[0]
		rest = rest[1:]
		switch step {
		case "", ".":
			continue
		case "..":
			if at == "" {
				return leadsOut
			}
			at = parent(at)
			continue
		}
		at = path.Join(at, step)
		e, ok := m[at]
		// Below what is missing there are only names: a link must not leave
		// the folder on a machine where it is not missing.
		missing = missing || !ok
		if e.Type != fs.ModeSymlink {
			continue
		}
		if strings.HasPrefix(e.Link, "/") {
			return leadsOut
		}
		if hops++; hops > maxLinks {
			return leadsNowhere
		}
		rest = append(strings.Split(e.Link, "/"), rest...)
		at = parent(at)
	}
	if missing {
		return leadsNowhere
	}
	return leadsIn
}

func parent(p string) string {
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		return p[:i]
	}
	return ""
}

// refuseEscapes refuses the links that leave the folder: on the machine that
// serves the site they would lead to that machine's own files.
func (f *folder) refuseEscapes() {
	m := newLinkMap(f.entries)
	for p, e := range f.links() {
		switch {
		case !utf8.ValidString(e.Link):
			f.refused.add(p, "the target of the symbolic link is not UTF-8: rename what it leads to")
		case m.follow(p) == leadsOut:
			f.refused.add(p, "symbolic link out of the folder, to "+shownName(e.Link)+": put a copy or a link inside the folder in its place")
		}
	}
}

// danglingLinks are the links that lead to nothing that is packed.
func (f *folder) danglingLinks() (d places) {
	m := newLinkMap(f.entries)
	for p, e := range f.links() {
		if m.follow(p) == leadsNowhere {
			d.add(shownName(p) + " -> " + shownName(e.Link))
		}
	}
	return d
}

// links are the symbolic links by path in the folder.
func (f *folder) links() func(yield func(string, layer.PackEntry) bool) {
	return func(yield func(string, layer.PackEntry) bool) {
		for _, e := range f.entries {
			if e.Type == fs.ModeSymlink && !yield(e.Name[len(rootDir)+1:], e) {
				return
			}
		}
	}
}
