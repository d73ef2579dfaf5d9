package fs

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/tree"
)

// Lookup tells what name is in a folder.
func (f *FS) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	dir, ok := f.inodes.get(nodeID(in.NodeId))
	switch {
	case !ok:
		return fuse.Status(syscall.ESTALE)
	case len(name) > tree.MaxName:
		return fuse.Status(syscall.ENAMETOOLONG)
	case dir.made == nil:
		return f.lookupInSite(cancel, nodeID(in.NodeId), dir, name, out)
	case dir.made.derived != 0:
		return f.lookupDerived(cancel, nodeID(in.NodeId), dir, name, out)
	case dir.made.path == aboutPath:
		return f.lookupAbout(cancel, name, out)
	case f.isDocuments(dir.made.path):
		return f.lookupDocument(cancel, dir.made.path, name, out)
	case dir.made.path == "" && name == aboutPath:
		return f.tell(aboutID, inode{made: &made{path: aboutPath}}, out, forever)
	}
	return f.lookupName(cancel, dir.made.path, name, out)
}

// tell answers a lookup with a node.
func (f *FS) tell(id nodeID, n inode, out *fuse.EntryOut, timeout time.Duration) fuse.Status {
	if !f.inodes.add(id, n) {
		return fail("lookup", n.name(), errors.New("two different things have the same node id"))
	}
	n.entry(id, out, timeout)
	return fuse.OK
}

// name says what a node is, for the log.
func (n inode) name() string {
	if n.made != nil && n.made.companion != nil {
		return n.made.companion.Name()
	}
	if n.made != nil {
		return n.made.path
	}
	return n.site.Digest.String() + "/" + n.site.Tree.Path(n.node)
}

// lookupName resolves a name of the namespace.
func (f *FS) lookupName(cancel <-chan struct{}, dir, name string, out *fuse.EntryOut) fuse.Status {
	if strings.HasPrefix(name, ".") {
		return miss(out, forever) // no repository or tag begins so
	}
	ctx := begin(cancel, lookupBudget)
	defer ctx.end()
	place := path.Join(dir, name)
	found, err := f.names.Lookup(ctx, dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return miss(out, missTimeout)
	case err != nil:
		return fail("lookup", place, err)
	case found.Site == nil:
		return f.tell(folderID(place), inode{made: &made{path: place}}, out, f.refresh)
	}
	timeout := f.refresh
	if found.Fixed {
		timeout = forever
	}
	return f.tell(siteID(place, found.Site), inode{site: found.Site, node: tree.Root}, out, timeout)
}

// lookupInSite finds a name in a folder of a site: from memory, but for the
// bytes of a file that is not here yet.
func (f *FS) lookupInSite(cancel <-chan struct{}, parent nodeID, dir inode, name string, out *fuse.EntryOut) fuse.Status {
	if dir.site.Problem() != nil {
		return fuse.EIO // why was logged when it was found
	}
	if name == derivedPath && dir.node == tree.Root {
		return f.tell(derivedID(parent, name), deriving(derivedRoot, dir.site, tree.Root), out, forever)
	}
	child, ok := dir.site.Tree.Lookup(dir.node, name)
	if !ok {
		return f.lookupMissing(cancel, parent, dir, name, out)
	}
	return f.tellNode(cancel, parent, inode{site: dir.site, node: child}, out, forever)
}

// lookupMissing finds a name that the site does not hold: a page in place of a
// redirect, the gzip form of one of its files, or a file that pages of an earlier
// version still ask for. That is known to the kernel no longer than it is kept;
// that there is none is for ever.
func (f *FS) lookupMissing(cancel <-chan struct{}, parent nodeID, dir inode, name string, out *fuse.EntryOut) fuse.Status {
	if dir.site.HasRules() {
		if status, ok := f.lookupMoved(parent, dir.site, dir.site.Tree.Path(dir.node), name, out); ok {
			return status
		}
	}
	if c, settled := dir.site.Companion(dir.node, name); c != nil || !settled {
		return f.tellCompanion(c, settled, out)
	}
	if !dir.site.MayHaveAsset(name) {
		return miss(out, forever)
	}
	ctx := begin(cancel, lookupBudget)
	defer ctx.end()
	asset, err := dir.site.Asset(ctx, dir.node, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return miss(out, forever)
	case err != nil:
		return fail("lookup", dir.name()+"/"+name, err)
	}
	return f.tellNode(cancel, parent, inode{site: asset.Site, node: asset.Node}, out, max(time.Until(asset.Till), 0))
}

// tellNode answers a lookup with a node of a site, which the kernel may keep for
// timeout; a file's bytes are waited for.
func (f *FS) tellNode(cancel <-chan struct{}, parent nodeID, n inode, out *fuse.EntryOut, timeout time.Duration) fuse.Status {
	if n.kind() == tree.File {
		f.habit.wanted()
	}
	if n.kind() == tree.File && !n.site.Local(n.node) {
		ready, err := gate(cancel, n)
		if err != nil {
			return fail("lookup", n.name(), err)
		}
		timeout = min(timeout, ready)
	}
	return f.tell(childID(parent, n), n, out, timeout)
}

// gate waits for the beginning of a file. When that takes longer than the
// budget and nothing has failed yet, the file may be opened all the same and
// the read waits on.
func gate(cancel <-chan struct{}, n inode) (time.Duration, error) {
	ctx := begin(cancel, lookupBudget)
	defer ctx.end()
	err := n.site.Ready(ctx, n.node)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return unreadyTimeout, nil
	}
	return forever, err
}

// childID is the id of a node in a folder whose id is parent.
func childID(parent nodeID, n inode) nodeID {
	t := n.site.Tree
	switch t.Kind(n.node) {
	case tree.Dir:
		return dirID(parent, t.Name(n.node))
	case tree.Symlink:
		return hashID("symlink", t.Target(n.node))
	}
	return contentID(plainFile, n.site, t.ID(n.node))
}
