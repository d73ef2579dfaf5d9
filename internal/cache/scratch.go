package cache

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const tmpDir = "tmp"

// scratch is a folder for this process's unfinished files. A lock on it tells
// the living from the dead: it goes with the process, however that ends, and
// unlike a process id it means the same in every container.
type scratch struct {
	dir  *folder
	name string
	lock *os.File // the folder
	next atomic.Uint64
}

// newScratch removes what dead processes left and makes a folder of our own.
func newScratch(d *folder) (*scratch, error) {
	if err := own(d.root, tmpDir); err != nil {
		return nil, err
	}
	if err := sweep(d); err != nil {
		return nil, err
	}
	// A process that sweeps between our mkdir and our lock takes the folder
	// away: then there is another try.
	for range 10 {
		s, err := claim(d)
		if s != nil || err != nil {
			return s, err
		}
	}
	return nil, errors.New("other processes keep removing its temporary folder")
}

func claim(d *folder) (*scratch, error) {
	name := tmpDir + "/" + strconv.FormatUint(rand.Uint64(), 16)
	if err := d.root.Mkdir(name, 0o700); err != nil {
		return nil, err
	}
	f, ok := lockDir(d, name)
	if f == nil || !ok {
		return nil, nil
	}
	mine, err := f.Stat()
	there, err2 := d.root.Lstat(name)
	if err != nil || err2 != nil || !os.SameFile(mine, there) {
		return nil, f.Close()
	}
	return &scratch{dir: d, name: name, lock: f}, nil
}

// lockDir opens a folder and locks it, unless somebody else has it.
func lockDir(d *folder, name string) (*os.File, bool) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, false
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, false
	}
	return f, true
}

// sweep removes the unfinished files of processes that are gone.
func sweep(d *folder) error {
	tmp, err := d.root.Open(tmpDir)
	if err != nil {
		return err
	}
	defer tmp.Close()
	for {
		names, err := tmp.Readdirnames(256)
		for _, name := range names {
			sweepOne(d, tmpDir+"/"+name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sweepOne removes what it can; what stays is tried again at the next start.
func sweepOne(d *folder, name string) {
	if fi, err := d.root.Lstat(name); err != nil || !fi.IsDir() {
		_ = d.root.Remove(name)
		return
	}
	if f, ok := lockDir(d, name); ok {
		_ = d.root.RemoveAll(name)
		f.Close()
	}
}

func (s *scratch) close() error {
	return errors.Join(s.dir.root.RemoveAll(s.name), s.lock.Close())
}

// write makes a file with the data under a new name.
func (s *scratch) write(sync bool, data ...[]byte) (name string, err error) {
	name = s.name + "/" + strconv.FormatUint(s.next.Add(1), 16)
	f, err := s.dir.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	for _, d := range data {
		if err == nil {
			_, err = f.Write(d)
		}
	}
	if err == nil && sync {
		err = f.Sync()
	}
	// Network file systems report a full disk as late as here.
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		s.remove(name)
		return "", err
	}
	return name, nil
}

// remove drops an unfinished file; if that fails, the end of the process does.
func (s *scratch) remove(name string) { _ = s.dir.root.Remove(name) }

// anonymous is a file without a name.
func (s *scratch) anonymous() (*os.File, error) {
	f, err := s.dir.root.OpenFile(s.name, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err == nil || !(errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOENT)) {
		return f, err
	}
	// NFS and older overlays cannot, and say it in different ways.
	return s.unlinked()
}

func (s *scratch) unlinked() (*os.File, error) {
	name := s.name + "/" + strconv.FormatUint(s.next.Add(1), 16)
	f, err := s.dir.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := s.dir.root.Remove(name); err != nil {
		return nil, errors.Join(fmt.Errorf("unlink: %w", err), f.Close())
	}
	return f, nil
}
