package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/tree"
)

// derived is a folder that the mount adds to each site, to be looked up and
// never listed. They tell a web server what the site wants in the only words
// that it has: what exists.
//
//	.regfs/                 in the root of a site; one of the site's own is hidden
//	.regfs/spa/index.html   the page for what is not there, if the site is a
//	                        single-page application that has one
//	.regfs/404/index.html   the site's own 404.html, if it has one
//	.regfs/names/…          every name of the site, as a folder
//
// The pages are in folders, and the names are folders, since whether a folder
// is there is known from memory. nginx takes every error of a test for "not
// there"; of these tests no error can come, so that a registry that is away
// does not look like a page that is missing.
type derived uint8

const (
	derivedRoot derived = iota + 1
	derivedPage
	derivedNames
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
	n, ok := dir.derive(name)
	switch {
	case dir.made.derived == derivedPage && name == startPage+".gz":
		c, settled := dir.site.CompanionOf(dir.node)
		return f.tellCompanion(c, settled, out)
	case !ok:
		return miss(out, forever)
	case n.made != nil:
		return f.tell(derivedID(parent, name), n, out, forever)
	}
	return f.tellNode(cancel, parent, n, out)
}

// derive is what a derived folder has under a name.
func (n inode) derive(name string) (inode, bool) {
	switch n.made.derived {
	case derivedRoot:
		return n.deriveFolder(name)
	case derivedPage:
		return inode{site: n.site, node: n.node}, name == startPage
	case derivedNames:
		child, ok := n.site.Tree.Walk(n.node, name, true)
		return deriving(derivedNames, n.site, child), ok && n.site.Tree.Kind(n.node) == tree.Dir
	}
	return inode{}, false
}

func (n inode) deriveFolder(name string) (inode, bool) {
	switch name {
	case "spa":
		page, ok := spaPage(n.site)
		return deriving(derivedPage, n.site, page), ok
	case "404":
		page, ok := file(n.site, missingPage)
		return deriving(derivedPage, n.site, page), ok
	case "names":
		return deriving(derivedNames, n.site, tree.Root), true
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
