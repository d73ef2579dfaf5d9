package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/site"
)

// tellCompanion answers for a name of which a site has only the gzip form of one
// of its files, or nothing. It waits for neither: a web server asks for it before
// each page. That it is not there yet is soon asked again, all else is for ever.
func (f *FS) tellCompanion(c *site.Companion, settled bool, out *fuse.EntryOut) fuse.Status {
	switch {
	case c != nil:
		n := inode{made: &made{companion: c, isFile: true}}
		return f.tell(contentID(gzipForm, c.Site(), n.made.hash()), n, out, forever)
	case settled:
		return miss(out, forever)
	}
	return miss(out, unreadyTimeout)
}
