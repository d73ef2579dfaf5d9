package fs

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/tree"
)

// blockSize is what st_blksize says: how much at once is worth reading.
const blockSize = 128 << 10

// GetAttr tells the attributes of a node that the kernel knows. They never
// change: what differs has another id.
func (f *FS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, ok := f.inodes.get(nodeID(in.NodeId))
	if !ok {
		return fuse.Status(syscall.ESTALE)
	}
	f.habit.asked(nodeID(in.NodeId))
	n.attr(nodeID(in.NodeId), &out.Attr)
	out.SetTimeout(forever)
	return fuse.OK
}

// attr fills in a node's attributes. Modes are the same for all: sites are to
// be read by everyone, and nothing in them is ever run or written.
func (n inode) attr(id nodeID, out *fuse.Attr) {
	*out = fuse.Attr{Ino: uint64(id), Nlink: 1, Blksize: blockSize}
	hash := uint64(id)
	switch n.kind() {
	case tree.Dir:
		out.Mode = syscall.S_IFDIR | 0o555
	case tree.Symlink:
		out.Mode = syscall.S_IFLNK | 0o777
	case tree.File:
		out.Mode = syscall.S_IFREG | 0o444
		switch { // never of the repository: a file has one ETag wherever it is
		case n.made == nil:
			hash = n.site.Tree.ID(n.node)
		case n.made.companion != nil:
			hash = n.made.hash()
		}
	}
	out.Size = uint64(n.size())
	out.Blocks = (out.Size + 511) / 512
	mtime := uint64(tree.ModTime(hash))
	out.Mtime, out.Ctime, out.Atime = mtime, mtime, mtime
}

func (n inode) kind() tree.Kind {
	switch {
	case n.made == nil:
		return n.site.Tree.Kind(n.node)
	case n.made.isFile:
		return tree.File
	}
	return tree.Dir
}

func (n inode) size() int64 {
	switch {
	case n.made == nil:
		return n.site.Tree.Size(n.node)
	case n.made.companion != nil:
		return n.made.companion.Size
	}
	return int64(len(n.made.data))
}

// entry fills in the answer to a lookup of a node that was added.
func (n inode) entry(id nodeID, out *fuse.EntryOut, timeout time.Duration) {
	out.NodeId = uint64(id)
	out.SetEntryTimeout(timeout)
	out.SetAttrTimeout(forever)
	n.attr(id, &out.Attr)
}

// miss is the answer that there is no such name, which the kernel may keep.
func miss(out *fuse.EntryOut, timeout time.Duration) fuse.Status {
	*out = fuse.EntryOut{}
	out.SetEntryTimeout(timeout)
	return fuse.OK
}

// Readlink tells where a link points.
func (f *FS) Readlink(_ <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	n, ok := f.inodes.get(nodeID(in.NodeId))
	if !ok || n.kind() != tree.Symlink {
		return nil, fuse.EINVAL
	}
	return []byte(n.site.Tree.Target(n.node)), fuse.OK
}
