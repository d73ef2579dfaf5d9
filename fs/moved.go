package fs

import (
	"crypto/sha256"
	"encoding/hex"
	"path"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/site"
)

// lookupMoved finds what stands in for the redirects of a site under a name that
// it does not have in its folder dir: a page that leads on, or a folder that only
// such pages are in. ok tells whether there is one.
func (f *FS) lookupMoved(parent nodeID, s *site.Site, dir, name string, out *fuse.EntryOut) (status fuse.Status, ok bool) {
	full := path.Join(dir, name)
	page, folder := s.Moved(full)
	switch {
	case page != nil:
		// A function of its content, as a file's is: its ETag outlives a deploy.
		sum := sha256.Sum256(page)
		content := hex.EncodeToString(sum[:])
		file := inode{made: &made{path: "redirect " + content, data: page, isFile: true}}
		return f.tell(hashID("moved page", content), file, out, forever), true
	case folder:
		n := inode{site: s, made: &made{path: full, derived: derivedMoved}}
		return f.tell(childHash("moved", parent, name), n, out, forever), true
	}
	return fuse.OK, false
}
