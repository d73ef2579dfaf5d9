package fs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sync/singleflight"

	"github.com/regfs/regfs/internal/namespace"
)

// How long an operation may take. A web server's worker waits in it, and with
// it all that the worker serves.
const (
	lookupBudget = 5 * time.Second
	readBudget   = 15 * time.Second
	listBudget   = 10 * time.Second
)

// How long the kernel may keep what it was told.
const (
	forever = 10 * 365 * 24 * time.Hour
	// missTimeout bounds how late a name that did not exist in the namespace
	// shows up once it does.
	missTimeout = time.Second
	// unreadyTimeout is for files whose bytes are not here: the next lookup
	// waits for them.
	unreadyTimeout = time.Second
)

// Namespace says what the names of the mount mean right now. It is the only
// thing here that changes over time.
type Namespace interface {
	// Lookup tells what name is in the folder dir, "" for the root.
	// Errors: fs.ErrNotExist, only when that is known; fs.ErrPermission; others
	// when nothing is known.
	Lookup(ctx context.Context, dir, name string) (namespace.Entry, error)
	// List gives the names in the folder dir, in any order.
	List(ctx context.Context, dir string) ([]string, error)
}

// FS is the file system. Requests of the kernel come to its methods, which are
// spelt as the kernel's operations; whatever is not here answers ENOSYS.
type FS struct {
	fuse.RawFileSystem
	names    Namespace
	refresh  time.Duration
	status   func() []byte
	inodes   inodes
	habit    habit
	changes  *changes
	listings singleflight.Group // of folders of the namespace, by their path

	documents Documents
	kept      kept
	sums      sums
}

var _ fuse.RawFileSystem = (*FS)(nil)

// New makes the file system of a namespace whose entries the kernel may keep
// for refresh. status gives what the file .regfs/status.json holds.
func New(names Namespace, refresh time.Duration, status func() []byte) *FS {
	f := &FS{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		names:         names, refresh: refresh, status: status,
		inodes:  newInodes(),
		changes: newChanges(), documents: noDocuments{},
	}
	f.inodes.add(rootID, inode{made: &made{}})
	return f
}

// String names the file system in go-fuse's debugging output.
func (f *FS) String() string { return "regfs" }

// Init gives the way back to the kernel.
func (f *FS) Init(s *fuse.Server) { f.changes.start(s) }

// OnUnmount ends what talks to the kernel.
func (f *FS) OnUnmount() { f.changes.stop() }

// Forget drops a node that the kernel has no use for any more.
func (f *FS) Forget(id, count uint64) {
	if nodeID(id) != rootID {
		f.inodes.forget(nodeID(id), count)
	}
}

// StatFs says that there is nothing to write to; the sizes mean nothing.
func (f *FS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{Bsize: blockSize, Frsize: blockSize, NameLen: 255, Files: uint64(f.inodes.len())}
	return fuse.OK
}

// fail turns an error into what the kernel is told. It is logged here, once,
// since the kernel keeps no text; that something does not exist, and that
// somebody stopped waiting, is nobody's news. Of names that are not asked for
// there may be thousands a second, of which the namespace tells as a whole.
func fail(op, path string, err error) fuse.Status {
	status := fuse.Status(errno(err))
	if status != fuse.ENOENT && status != fuse.EINTR && !errors.Is(err, namespace.ErrBusy) {
		slog.Error(op, "event", "failed", "path", path, "errno", status.String(), "err", err)
	}
	return status
}
