// Package fs shows sites as a FUSE file system: node ids, lookups, listings,
// attributes, reads, and the mount itself. It knows trees and content. It does
// not know registries: what a name means it asks of internal/namespace, and the
// bytes of a file of internal/site.
//
// # Node ids
//
// The kernel knows everything by a 64-bit node id, and keeps what it learned
// about one until it is told otherwise. Ids are pure functions. A folder's is
// one of the place where it stands (my-app/v1 and my-app:v1 are two places) and
// of the version that stands there; if two names shared a folder, the kernel
// would move the one onto the other. A file's is a function of its repository and
// its content, so that equal files of all its versions are one inode with one page
// cache, and no page is another repository's. When a tag moves, its folder has a new
// id, and nothing below the old one is ever mixed with the new; whoever has the old
// one open goes on reading it.
//
// # What the kernel caches
//
// All below a tag is immutable, so entries, attributes and misses there have no
// timeout: a warm request never leaves the kernel. OPEN, OPENDIR and FLUSH
// answer ENOSYS, after which the kernel opens files by itself and keeps their
// pages and whole listings; that is the difference between a third of a local
// disk's speed and all of it. The namespace above changes: its entries are
// looked up again after a refresh, and a tag that moves is announced to the
// kernel at once.
//
// # Who goes through a site
//
// A listing has attributes only while somebody looks at them (habit.go), since
// they cost the daemon more than the names. That is a guess, which costs time
// when it is wrong and never changes what is read.
//
// Nothing is put into the page cache before it is asked for, though that would
// spare a reader of all files most of its requests: a process that is killed
// while it waits for the lock of a page whose reader waits for that process waits
// for ever, and its mount with it.
//
// # Failing
//
// Without OPEN, the lookup of a file is the last moment to fail cleanly: a web
// server that could open a file has sent its 200. So a lookup waits until the
// beginning of the file is here and verified. ENOENT is said only when it is
// known; all else that keeps a file from being read is EIO, or EACCES, and is
// not cached. How long a request may wait is in server.go, and what waits in
// operation.go.
package fs
