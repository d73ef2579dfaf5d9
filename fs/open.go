package fs

import "github.com/hanwen/go-fuse/v2/fuse"

// Open, OpenDir and Flush answer ENOSYS once in the life of the mount. From then
// on the kernel opens files and folders by itself, as if we had said
// FOPEN_KEEP_CACHE and FOPEN_CACHE_DIR, and asks about neither again. Source:
// fuse_file_open in fs/fuse/file.c, FUSE_NO_OPEN_SUPPORT and
// FUSE_NO_OPENDIR_SUPPORT in include/uapi/linux/fuse.h.

// Open leaves opening files to the kernel.
func (f *FS) Open(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.ENOSYS }

// OpenDir leaves opening folders to the kernel.
func (f *FS) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.ENOSYS }

// Flush says that closing a file is nothing we need to hear of.
func (f *FS) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }
