package fs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotMounted means that there is no mount of ours where one was looked for.
var ErrNotMounted = errors.New("no regfs mount")

// ErrBusy means that somebody has a file or folder of a mount open.
var ErrBusy = errors.New("in use")

// State is what is at a mountpoint.
type State int

// The states of a mountpoint.
const (
	NotMounted State = iota
	Alive
	Dead // the mount is there, its daemon is gone
	Hung // the mount is there, and its daemon does not answer
)

// A daemon that works says that it lives within microseconds. lookWait is how long
// who only wants to know waits for that. Who finds it hung and takes the mount away
// from its visitors waits for giveUpWait: a daemon answers nothing for seconds also
// while its machine swaps, is moved to another or makes a snapshot, and when a group
// of processes has used up its share. As long as a request of a visitor may take is
// long enough to tell that nobody is served.
const (
	lookWait   = 3 * time.Second
	giveUpWait = 10 * time.Second
)

// StateOf tells whether a file system of ours is mounted at point, and served.
func StateOf(point string) (State, error) { return stateWithin(point, lookWait) }

// stateWithin is StateOf for who calls hung what has not answered after wait.
func stateWithin(point string, wait time.Duration) (State, error) {
	if _, ours, err := mounted(point); err != nil || !ours {
		return NotMounted, err
	}
	answer := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(point, &st) // the kernel never answers this one by itself
	}()
	select {
	case err := <-answer:
		if errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED) {
			return Dead, nil
		}
	case <-time.After(wait):
		return Hung, nil
	}
	return Alive, nil
}

// Unmount ends the mount at point, whether its daemon lives, is gone, or hangs.
// If somebody has a file of it open it is an ErrBusy, unless lazy: then the mount
// disappears from the tree and its daemon ends when the last one lets go. Who
// waits for a daemon that hangs hears an error, and keeps nothing. Errors are also
// ErrNotMounted, and those of the kernel.
func Unmount(point string, lazy bool) error {
	state, err := stateWithin(point, giveUpWait)
	if err != nil {
		return err
	}
	if state == NotMounted {
		return fmt.Errorf("%s: %w", point, ErrNotMounted)
	}
	if state == Hung {
		return giveUp(point)
	}
	err = unmount(point, 0)
	if errors.Is(err, syscall.EBUSY) || err != nil && state == Dead {
		if !lazy && state == Alive {
			return fmt.Errorf("%s: %w: somebody has a file or folder of it open ('fuser -vm %s' tells who); --lazy does not wait for them", point, ErrBusy, point)
		}
		err = detach(point)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", point, err)
	}
	return nil
}

// connections is where the kernel's control file system is mounted, with a folder
// for each FUSE mount, named by the minor number of its device.
// Source: the kernel's filesystems/fuse/fuse.rst.
const connections = "/sys/fs/fuse/connections"

// giveUp detaches a mount whose daemon does not answer, and has the kernel answer
// in its place: all calls that wait for it fail. A daemon that was killed while the
// kernel waited in it cannot even end before that. The file system itself, which
// would keep us waiting with the others, is asked nothing.
//
// Root needs no control file system, which containers lack: the kernel aborts what
// is unmounted by force. For others it is the only way.
func giveUp(point string) error {
	at, ours, err := mounted(point)
	if err != nil || !ours {
		return err
	}
	aborting := os.WriteFile(filepath.Join(connections, at.minor, "abort"), []byte("1"), 0)
	if err := unmount(point, unix.MNT_DETACH|unix.MNT_FORCE); err != nil {
		return fmt.Errorf("unmount %s, whose daemon does not answer: %w", point, err)
	}
	if aborting != nil && os.Geteuid() != 0 {
		return fmt.Errorf("%s is unmounted, but whoever waits for its daemon, which does not answer, waits on: %w", point, aborting)
	}
	return nil
}

func detach(point string) error { return unmount(point, unix.MNT_DETACH) }

// unmount asks the kernel, or fusermount3 when only that may.
func unmount(point string, flags int) error {
	err := unix.Unmount(point, flags|unix.UMOUNT_NOFOLLOW)
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	args := []string{"-u", point}
	if flags&unix.MNT_DETACH != 0 {
		args = []string{"-uz", point}
	}
	out, runErr := exec.Command("fusermount3", args...).CombinedOutput() //nolint:gosec // the path is the user's own
	if runErr == nil {
		return nil
	}
	if strings.Contains(string(out), "busy") {
		return syscall.EBUSY
	}
	return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
}
