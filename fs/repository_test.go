package fs

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// TestAFileIsOneInodeInOneRepository: what the kernel has read of it below one is
// kept for all versions of that, and for no other; visitors see one ETag.
func TestAFileIsOneInodeInOneRepository(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{"app.js": script(1, 20_000)}
	for _, at := range [][2]string{{"one", "v1"}, {"one", "v2"}, {"two", "v1"}} {
		w.Publish(at[0], at[1], files)
	}
	f := w.newFS()
	for _, name := range []string{"app.js", "app.js.gz"} {
		of := func(repo, tag string) fuse.EntryOut {
			dir := lookup(t, f, repo, tag)
			plain := lookupIn(t, f, dir, "app.js")
			if name == "app.js" {
				return plain
			}
			return lookupCompanion(t, f, dir, name)
		}
		first, again, other := of("one", "v1"), of("one", "v2"), of("two", "v1")
		if first.NodeId != again.NodeId || first.NodeId == other.NodeId {
			t.Errorf("%s: ids %x and %x in one repository, %x in another", name, first.NodeId, again.NodeId, other.NodeId)
		}
		if first.Ino != first.NodeId || first.Mtime != again.Mtime || first.Mtime != other.Mtime || first.Size != other.Size {
			t.Errorf("%s: got %+v and %+v in one repository, %+v in another", name, first.Attr, again.Attr, other.Attr)
		}
	}
}
