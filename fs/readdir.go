package fs

import (
	"context"
	"hash/fnv"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/tree"
)

// The offsets of "." and ".." in a listing; what comes after is larger.
const (
	dotOffset    = 1
	dotDotOffset = 2
	firstOffset  = 3
)

// ReadDirPlus lists a folder with the attributes of what is in it. It waits for
// no file's bytes: those that are not here get an entry that ends soon, so that
// who opens them comes by Lookup.
func (f *FS) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if in.Offset == 0 {
		f.habit.begin(time.Now())
	}
	return f.readDir(cancel, in, &plusList{fs: f, out: out, first: in.Offset == 0})
}

// ReadDir lists a folder.
func (f *FS) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.readDir(cancel, in, plainList{out})
}

// list takes entries until it is full. A node of id 0 is not told to the kernel.
type list interface {
	add(e fuse.DirEntry, id nodeID, n inode) bool
}

type plainList struct{ out *fuse.DirEntryList }

func (l plainList) add(e fuse.DirEntry, _ nodeID, _ inode) bool { return l.out.AddDirEntry(e) }

type plusList struct {
	fs    *FS
	out   *fuse.DirEntryList
	first bool // no file was added yet, to a listing from its beginning
}

func (l *plusList) add(e fuse.DirEntry, id nodeID, n inode) bool {
	entry := l.out.AddDirLookupEntry(e)
	if entry == nil || id == 0 {
		return entry != nil
	}
	if n.kind() == tree.File && l.fs.habit.namesOnly() {
		return true // the kernel takes an entry without a node for the name alone
	}
	timeout := forever
	if n.kind() == tree.File && !n.site.Local(n.node) {
		timeout = unreadyTimeout
	}
	if !l.fs.inodes.add(id, n) {
		return true
	}
	n.entry(id, entry, timeout)
	if l.fs.habit.probing(id, n, l.first) {
		entry.SetAttrTimeout(0)
		l.first = false
	}
	return true
}

func (f *FS) readDir(cancel <-chan struct{}, in *fuse.ReadIn, out list) fuse.Status {
	dir, ok := f.inodes.get(nodeID(in.NodeId))
	if !ok {
		return fuse.Status(syscall.ESTALE)
	}
	if dir.kind() != tree.Dir {
		return fuse.ENOTDIR
	}
	if dir.made == nil && dir.site.Problem() != nil {
		return fuse.EIO
	}
	if !addDots(in, out) {
		return fuse.OK
	}
	if dir.made == nil {
		listSite(nodeID(in.NodeId), dir, in.Offset, out)
		return fuse.OK
	}
	if dir.made.derived != 0 {
		return fuse.OK // to be looked up only
	}
	return f.listFolder(cancel, in, dir.made, out)
}

// addDots lists "." and ".."; it tells whether there is room for more.
func addDots(in *fuse.ReadIn, out list) bool {
	for off, name := range []string{".", ".."} {
		e := fuse.DirEntry{Mode: syscall.S_IFDIR, Name: name, Off: uint64(off + dotOffset)}
		if name == "." {
			e.Ino = in.NodeId
		}
		if in.Offset < e.Off && !out.add(e, 0, inode{}) {
			return false
		}
	}
	return true
}

// listSite lists a folder of a site. Its offsets are the places of the names in
// their order, which never changes.
func listSite(parent nodeID, dir inode, offset uint64, out list) {
	first, count := dir.site.Tree.Children(dir.node)
	for i := max(offset, dotDotOffset) - dotDotOffset; i < uint64(count); i++ {
		n := inode{site: dir.site, node: first + tree.Node(i)}
		if dir.node == tree.Root && n.site.Tree.Name(n.node) == derivedPath {
			continue // ours is there, and that is not listed
		}
		id := childID(parent, n)
		e := fuse.DirEntry{Mode: modes[n.kind()], Name: n.site.Tree.Name(n.node), Ino: uint64(id), Off: i + firstOffset}
		if !out.add(e, id, n) {
			return
		}
	}
}

var modes = map[tree.Kind]uint32{tree.Dir: syscall.S_IFDIR, tree.File: syscall.S_IFREG, tree.Symlink: syscall.S_IFLNK}

// listing is what a folder of the namespace held when it was last listed. There
// is no open directory to keep it in, since OPENDIR is not answered.
type listing struct {
	mu    sync.Mutex
	names []listed
	at    time.Time
	used  time.Time // when somebody last read of it
	drops int       // how often it was dropped
}

// recent are the names, if they were listed a moment ago, or somebody is reading them
// who began then, and by now is at an offset.
func (l *listing) recent(offset uint64, now time.Time) ([]listed, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() || now.Sub(l.at) >= listingAge && (offset == 0 || now.Sub(l.used) >= listingAge) {
		return nil, false
	}
	l.used = now
	return l.names, true
}

// set takes what was asked for when it had been dropped so often. It is not kept if
// there was news since: it may be of before.
func (l *listing) set(names []listed, drops int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drops == drops {
		l.names, l.at, l.used = names, now, now
	}
}

func (l *listing) dropped() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drops
}

// drop has the folder listed anew.
func (l *listing) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Time{}
	l.drops++
}

// listed is a name and its offset, which is a hash of it: names that come and go
// while somebody lists do not move the others.
type listed struct {
	offset uint64
	name   string
}

// listingAge is how long a listing answers others who list the folder, and how long
// whoever reads a long one may take for the next part.
const listingAge = time.Second

// listFolder lists a folder of the namespace. The kernel keeps what it gets, so
// it is told to drop it when the time has come.
func (f *FS) listFolder(cancel <-chan struct{}, in *fuse.ReadIn, dir *made, out list) fuse.Status {
	names, err := f.list(cancel, dir, in.Offset)
	if err != nil {
		return fail("readdir", dir.path, err)
	}
	f.changes.dropListing(nodeID(in.NodeId), f.refresh)
	start, _ := slices.BinarySearchFunc(names, in.Offset+1, func(l listed, off uint64) int {
		if l.offset < off {
			return -1
		}
		return 1
	})
	mode := uint32(syscall.S_IFDIR)
	if dir.path == aboutPath {
		mode = syscall.S_IFREG
	}
	for _, l := range names[start:] {
		if !out.add(fuse.DirEntry{Mode: mode, Name: l.name, Off: l.offset}, 0, inode{}) {
			break
		}
	}
	return fuse.OK
}

// list gives the names in a folder of the namespace. They are asked for once, however
// many list it, and apart from who does: one whom a signal interrupts asks again, and
// finds the answer.
func (f *FS) list(cancel <-chan struct{}, dir *made, offset uint64) ([]listed, error) {
	if names, ok := dir.listing.recent(offset, time.Now()); ok {
		return names, nil
	}
	done := f.listings.DoChan(dir.path, func() (any, error) {
		drops := dir.listing.dropped()
		plain, err := f.listNames(dir.path)
		if err != nil {
			return nil, err
		}
		names := withOffsets(plain)
		dir.listing.set(names, drops, time.Now())
		return names, nil
	})
	select {
	case r := <-done:
		names, _ := r.Val.([]listed)
		return names, r.Err
	case <-cancel:
		return nil, context.Canceled
	}
}

func (f *FS) listNames(path string) ([]string, error) {
	switch {
	case path == aboutPath:
		return slices.Concat(aboutFiles, f.documents.Names()), nil
	case f.isDocuments(path):
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), listBudget)
	defer cancel()
	return f.names.List(ctx, path)
}

func withOffsets(names []string) []listed {
	all := make([]listed, len(names))
	for i, name := range names {
		h := fnv.New64a()
		h.Write([]byte(name))
		all[i] = listed{max(h.Sum64()>>1, firstOffset), name} // getdents offsets are signed
	}
	slices.SortFunc(all, func(a, b listed) int {
		if a.offset < b.offset {
			return -1
		}
		return 1
	})
	return all
}
