package fs

import "github.com/hanwen/go-fuse/v2/fuse"

// lookupCompanion answers for a name that a site does not have: the gzip form of
// one of its files, which no listing shows, or nothing. It waits for neither: a
// web server asks for it before each page. That it is not there yet is soon
// asked again, all else is for ever.
func (f *FS) lookupCompanion(dir inode, name string, out *fuse.EntryOut) fuse.Status {
	c, settled := dir.site.Companion(dir.node, name)
	switch {
	case c != nil:
		n := inode{made: &made{companion: c, isFile: true}}
		return f.tell(hashID("companion", string(c.Digest[:])), n, out, forever)
	case settled:
		return miss(out, forever)
	}
	return miss(out, unreadyTimeout)
}
