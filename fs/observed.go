package fs

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Observer is told of a request of the kernel when it is answered: which, how
// long that took, and the error, 0 for none.
type Observer func(op string, took time.Duration, errno syscall.Errno)

// Observed passes requests on to f and tells o of each.
func Observed(f fuse.RawFileSystem, o Observer) fuse.RawFileSystem { return &observed{f, o} }

type observed struct {
	fuse.RawFileSystem
	tell Observer
}

var _ fuse.RawFileSystem = (*observed)(nil)

func (o *observed) told(op string, began time.Time, s fuse.Status) fuse.Status {
	o.tell(op, time.Since(began), syscall.Errno(s))
	return s
}

// Lookup and the rest are requests that the mount answers; of those that have
// no answer but ENOSYS the kernel sends one in the life of a mount.
func (o *observed) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return o.told("lookup", time.Now(), o.RawFileSystem.Lookup(cancel, in, name, out))
}

// GetAttr tells of attributes.
func (o *observed) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return o.told("getattr", time.Now(), o.RawFileSystem.GetAttr(cancel, in, out))
}

// Readlink tells of links.
func (o *observed) Readlink(cancel <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	began := time.Now()
	target, s := o.RawFileSystem.Readlink(cancel, in)
	return target, o.told("readlink", began, s)
}

// Read tells of reads.
func (o *observed) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	began := time.Now()
	r, s := o.RawFileSystem.Read(cancel, in, buf)
	return r, o.told("read", began, s)
}

// ReadDir tells of listings of names alone.
func (o *observed) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return o.told("readdir", time.Now(), o.RawFileSystem.ReadDir(cancel, in, out))
}

// ReadDirPlus tells of listings.
func (o *observed) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return o.told("readdirplus", time.Now(), o.RawFileSystem.ReadDirPlus(cancel, in, out))
}
