package fs

import (
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/tree"
)

// derived is a folder that the mount adds to each site, to be looked up and
// never listed. It tells a web server what the site wants in the only words that
// it has: what exists.
//
//	.regfs/           in the root of a site; one of the site's own is hidden
//	.regfs/spa.html   the page for what is not there, if the site is a
//	                  single-page application that has one
//	.regfs/404.html   the site's own page about what is missing, if it has one
//	.regfs/names/…    every name of the site, as a folder
//	.regfs/no-rules/  a folder, if the site says nothing of redirects or headers
//
// Pages that lead on, in place of redirects, are where the site's rules say, as
// far as it has nothing there itself.
//
// That names are folders is for those who only want to know whether there is
// such a file: asking for the file itself waits for its bytes, and nginx takes
// the error of a registry that is away for "not there". That there are no rules is
// told by what exists for the same reason: who cannot know takes the site for one
// that has some, and asks.
type derived uint8

const (
	derivedRoot derived = iota + 1
	derivedNames
	derivedMoved // a folder that only pages in place of redirects are in
	derivedEmpty
)

// derivedPath is the folder in a site's root that holds the others.
const derivedPath = aboutPath

// Pages that mean something by their name, as static hosts agree.
const (
	startPage    = "index.html"
	fallbackPage = "200.html"
	missingPage  = "404.html"
)

// lookupDerived finds a name in a derived folder.
func (f *FS) lookupDerived(cancel <-chan struct{}, parent nodeID, dir inode, name string, out *fuse.EntryOut) fuse.Status {
	if dir.made.derived == derivedMoved {
		if status, ok := f.lookupMoved(parent, dir.site, dir.made.path, name, out); ok {
			return status
		}
		return miss(out, forever)
	}
	n, ok := dir.derive(name)
	switch {
	case !ok && strings.HasSuffix(name, gzipSuffix):
		return f.lookupDerivedCompanion(dir, strings.TrimSuffix(name, gzipSuffix), out)
	case !ok:
		return miss(out, forever)
	case n.made != nil:
		return f.tell(derivedID(parent, name), n, out, forever)
	}
	return f.tellNode(cancel, parent, n, out, forever)
}

// gzipSuffix is what the name of a companion has in addition.
const gzipSuffix = ".gz"

// lookupDerivedCompanion answers for the gzip form of a page in a derived folder.
func (f *FS) lookupDerivedCompanion(dir inode, page string, out *fuse.EntryOut) fuse.Status {
	n, ok := dir.derive(page)
	if !ok || n.made != nil {
		return miss(out, forever)
	}
	c, settled := n.site.CompanionOf(n.node)
	return f.tellCompanion(c, settled, out)
}

// derive is what a derived folder has under a name.
func (n inode) derive(name string) (inode, bool) {
	switch {
	case n.made.derived == derivedNames:
		child, ok := n.site.Tree.Walk(n.node, name, true)
		return deriving(derivedNames, n.site, child), ok
	case name == "names":
		return deriving(derivedNames, n.site, tree.Root), true
	case n.made.derived == derivedEmpty:
		return inode{}, false
	case name == "no-rules":
		return deriving(derivedEmpty, n.site, tree.Root), !n.site.HasRules()
	case name == "spa.html":
		page, ok := spaPage(n.site)
		return inode{site: n.site, node: page}, ok
	case name == missingPage:
		page, ok := file(n.site, missingPage)
		return inode{site: n.site, node: page}, ok
	}
	return inode{}, false
}

// deriving is a derived folder that is about a node of a site.
func deriving(d derived, s *site.Site, n tree.Node) inode {
	return inode{site: s, node: n, made: &made{path: s.Digest.String() + "/" + derivedPath, derived: d}}
}

func derivedID(parent nodeID, name string) nodeID { return childHash("derived", parent, name) }

// spaPage is the page that a single-page application answers with for what is
// not there.
func spaPage(s *site.Site) (tree.Node, bool) {
	if page, ok := file(s, fallbackPage); ok {
		return page, true
	}
	page, ok := file(s, startPage)
	return page, ok && s.Settings.SPA
}

// file finds a file in the root of a site, through a link if need be.
func file(s *site.Site, name string) (tree.Node, bool) {
	n, ok := s.Tree.Walk(tree.Root, name, true)
	return n, ok && s.Tree.Kind(n) == tree.File
}
