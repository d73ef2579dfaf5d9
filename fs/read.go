package fs

import (
	"errors"
	"io"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/tree"
)

// Read reads from a file. It is always as long as asked for except at the end:
// the kernel takes less for a truncated file. That somebody stopped waiting does
// not end it, since a reader that gets EINTR of a page asks for it again at once.
func (f *FS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, ok := f.inodes.get(nodeID(in.NodeId))
	switch {
	case !ok:
		return nil, fuse.Status(syscall.ESTALE)
	case n.kind() != tree.File:
		return nil, fuse.Status(syscall.EISDIR)
	case n.made != nil:
		return fuse.ReadResultData(tail(n.made.data, in.Offset, len(buf))), fuse.OK
	}
	ctx, stop := operation(nil, readBudget)
	defer stop()
	count, err := n.site.ReadAt(ctx, n.node, buf, int64(in.Offset))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fail("read", n.name(), err)
	}
	return fuse.ReadResultData(buf[:count]), fuse.OK
}

// tail is at most limit bytes of data from off on.
func tail(data []byte, off uint64, limit int) []byte {
	if off >= uint64(len(data)) {
		return nil
	}
	data = data[off:]
	return data[:min(limit, len(data))]
}
