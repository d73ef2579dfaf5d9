package fs

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/regfs/regfs/internal/site"
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
	case n.made != nil && n.made.companion == nil:
		return inMemory(tail(n.made.data, in.Offset, len(buf))), fuse.OK
	}
	size := int(min(int64(len(buf)), n.size()-int64(in.Offset)))
	if p, ok := n.piece(int64(in.Offset), size); ok {
		return &pieceResult{p, size}, fuse.OK
	}
	ctx := begin(nil, readBudget)
	defer ctx.end()
	count, err := n.readAt(ctx, buf, int64(in.Offset))
	if err != nil && !errors.Is(err, io.EOF) {
		count, err = f.readElsewhere(ctx, nodeID(in.NodeId), buf, int64(in.Offset), err)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fail("read", n.name(), err)
	}
	return inMemory(buf[:count]), fuse.OK
}

// piece is the file in the content store that holds a part of a file, if any.
func (n inode) piece(off int64, size int) (site.Piece, bool) {
	if n.made != nil {
		return n.made.companion.Piece(off, size)
	}
	return n.site.Piece(n.node, off, size)
}

// readAt reads a file that has its bytes in the content store.
func (n inode) readAt(ctx context.Context, p []byte, off int64) (int, error) {
	if n.made != nil {
		return n.made.companion.ReadAt(ctx, p, off)
	}
	return n.site.ReadAt(ctx, n.node, p, off)
}

// tail is at most limit bytes of data from off on.
func tail(data []byte, off uint64, limit int) []byte {
	if off >= uint64(len(data)) {
		return nil
	}
	data = data[off:]
	return data[:min(limit, len(data))]
}

// inMemory hands bytes to the kernel by one write. What go-fuse calls data goes
// through its attempt to splice first, which costs three system calls with each
// read: the header into a pipe, and out of it again.
func inMemory(data []byte) fuse.ReadResult { return fuse.ReadResultVector([][]byte{data}) }

// pieceResult hands the bytes of a file in the content store to the kernel
// without a copy through this process: go-fuse splices what is Seekable.
type pieceResult struct {
	piece site.Piece
	size  int
}

var _ fuse.ReadResult = (*pieceResult)(nil)

// Seekable is where go-fuse finds the bytes.
func (r *pieceResult) Seekable() (fd uintptr, off int64, size int) {
	return r.piece.Fd, r.piece.Offset, r.size
}

// Bytes reads them where splicing does not work. The content was verified and
// has not changed since, so that less than all of it is a fault of the disk.
func (r *pieceResult) Bytes(buf []byte) ([]byte, fuse.Status) {
	n, err := unix.Pread(int(r.piece.Fd), buf[:r.size], r.piece.Offset)
	if err != nil || n != r.size {
		return nil, fuse.EIO
	}
	return buf[:n], fuse.OK
}

// Size is how many bytes there are.
func (r *pieceResult) Size() int { return r.size }

// Done gives the file back.
func (r *pieceResult) Done() { r.piece.Release() }
