package cache

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	layout   = "v1"   // another format gets another folder
	docsDir  = "docs" // no shard is called so: shards are two hex digits
	lockName = "lock"
)

// folder is the place on disk, held by a descriptor: a path that is renamed or
// replaced while the cache runs leads nowhere else.
type folder struct {
	root *os.Root
	self *os.File // the same folder, for what os.Root cannot do
	conn syscall.RawConn
	lock *os.File
}

// openFolder opens dir/v1, made if it is not there, after checking dir.
func openFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // G703: the user says where the cache is
		return nil, fmt.Errorf("cache: %w", err)
	}
	outer, err := openOwn(dir)
	if err != nil {
		return nil, err
	}
	defer outer.Close()
	f, err := openLayout(outer)
	if err != nil {
		return nil, fmt.Errorf("cache %s: %w", dir, err)
	}
	return f, nil
}

// openOwn opens dir if nobody else could have planted anything in it.
func openOwn(dir string) (*os.Root, error) {
	path, err := os.Lstat(dir) //nolint:gosec // G703: the user says where the cache is
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	if err := checkOwn(dir, path); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	opened, err := root.Stat(".")
	if err == nil && !os.SameFile(path, opened) {
		err = errors.New("was replaced while it was opened")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cache %s: %w", dir, err), root.Close())
	}
	return root, nil
}

func checkOwn(dir string, fi fs.FileInfo) error {
	switch st, ok := fi.Sys().(*syscall.Stat_t); {
	case fi.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("cache %s is a symbolic link: give the folder that it leads to", dir)
	case !fi.IsDir():
		return fmt.Errorf("cache %s is not a folder: give another place", dir)
	case fi.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("cache %s can be written by others (mode %04o): chmod go-w %s, or give another place", dir, fi.Mode().Perm(), dir)
	case ok && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("cache %s belongs to user %d and this is user %d: chown it, or give another place", dir, st.Uid, os.Geteuid())
	}
	return nil
}

func openLayout(outer *os.Root) (*folder, error) {
	if err := own(outer, layout); err != nil {
		return nil, err
	}
	root, err := outer.OpenRoot(layout)
	if err != nil {
		return nil, err
	}
	f := &folder{root: root}
	if err := f.openSelf(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *folder) openSelf() (err error) {
	if f.self, err = f.root.Open("."); err != nil {
		return err
	}
	if f.conn, err = f.self.SyscallConn(); err != nil {
		return err
	}
	if fi, err := f.root.Lstat(lockName); err == nil && !fi.Mode().IsRegular() {
		_ = f.root.RemoveAll(lockName) // else opening says why; a pipe would wait
	}
	f.lock, err = f.root.OpenFile(lockName, os.O_CREATE|os.O_RDONLY, 0o600) // flock needs no more, and a disk can become read-only meanwhile
	return err
}

func (f *folder) close() error {
	err := f.root.Close()
	if f.self != nil {
		err = errors.Join(err, f.self.Close())
	}
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
	}
	return err
}

// own makes a folder, and those it is in, each in place of whatever else is
// called so: a file, or a link, which could lead anywhere.
func own(root *os.Root, dir string) error {
	for i := range len(dir) + 1 {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		if fi, err := root.Lstat(dir[:i]); err == nil && !fi.IsDir() {
			_ = root.Remove(dir[:i]) // else making the folder says why
		}
	}
	return root.MkdirAll(dir, 0o700)
}

// place moves a finished file to where it is looked for, in one step. What is in
// its way and no file of ours goes: a folder, or what is no folder on the way.
func (f *folder) place(tmp, target string) error {
	if f.root.Rename(tmp, target) == nil {
		return nil
	}
	if err := own(f.root, target[:strings.LastIndexByte(target, '/')]); err != nil {
		return err
	}
	if fi, err := f.root.Lstat(target); err == nil && fi.IsDir() {
		_ = f.root.RemoveAll(target) // else moving says why
	}
	return f.root.Rename(tmp, target)
}

// shard is the folder of a content, path its file.
func shard(k Key) string { return hex.EncodeToString(k[:1]) }

func path(k Key) string {
	b := make([]byte, 3+2*len(k))
	hex.Encode(b, k[:1])
	b[2] = '/'
	hex.Encode(b[3:], k[:])
	return string(b)
}

// parse is the key whose file is called so.
func parse(name string) (k Key, ok bool) {
	if len(name) != 2*len(k) {
		return k, false
	}
	_, err := hex.Decode(k[:], []byte(name))
	return k, err == nil && hex.EncodeToString(k[:]) == name
}

// The free space that the cache never takes: a file system that is full to the
// brim hurts everybody on it, and is slow.
const (
	reserveMax  = 1 << 30 // bytes
	reservePart = 50      // of the size: 2 %
	unknown     = math.MaxInt64 / 2
)

// reserve is how many bytes of the file system stay free.
func (f *folder) reserve() int64 {
	size, _ := f.space()
	return min(size/reservePart, reserveMax)
}

// space is the size of the file system in bytes, and how many of them are free
// for this user. Where it cannot be found out there is no end to either.
func (f *folder) space() (size, free int64) {
	var st unix.Statfs_t
	err := f.control(func(dir int) error { return unix.Fstatfs(dir, &st) })
	if err != nil || st.Blocks == 0 {
		return unknown, unknown
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize
}

// control makes system calls relative to the folder; its descriptor stays open
// meanwhile whatever Close does.
func (f *folder) control(call func(dir int) error) error {
	var err error
	if e := f.conn.Control(func(fd uintptr) { err = retry(func() error { return call(int(fd)) }) }); e != nil {
		return fs.ErrClosed
	}
	return err
}

// retry repeats what a signal has interrupted: the runtime's own signals come
// at any time, and network file systems give up for them.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

const blockSize = 4096 // what nearly every file system gives a file at least

// onDisk is what a file of so many bytes takes, in bytes.
func onDisk(size int64) int64 { return (size + blockSize - 1) / blockSize * blockSize }
