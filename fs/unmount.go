package fs

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
)

// answerWait is how long StateOf waits for a daemon to say that it lives.
const answerWait = 2 * time.Second

// StateOf tells whether a file system of ours is mounted at point, and served.
// A daemon that does not answer counts as alive: it may yet.
func StateOf(point string) (State, error) {
	mounted, err := isOurs(point)
	if err != nil || !mounted {
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
	case <-time.After(answerWait):
	}
	return Alive, nil
}

// isOurs looks the point up in the mount table.
func isOurs(point string) (bool, error) {
	point, err := filepath.Abs(point)
	if err != nil {
		return false, err
	}
	kinds, err := mountTable()
	return kinds[point] == fsType, err
}

// Mountpoints are where file systems of ours are mounted, in order, whether
// their daemons live or not.
func Mountpoints() ([]string, error) {
	kinds, err := mountTable()
	maps.DeleteFunc(kinds, func(_, kind string) bool { return kind != fsType })
	return slices.Sorted(maps.Keys(kinds)), err
}

// mountTable tells of each mountpoint what kind of file system is on it: the
// last mount counts.
func mountTable() (map[string]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	kinds := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if point, kind, ok := parseMountinfo(lines.Text()); ok {
			kinds[point] = kind
		}
	}
	return kinds, lines.Err()
}

// parseMountinfo reads the mountpoint and the type out of a line such as
//
//	36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw
//
// Source: proc_pid_mountinfo(5).
func parseMountinfo(line string) (point, kind string, ok bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields, types := strings.Fields(before), strings.Fields(after)
	if !ok || len(fields) < 6 || len(types) < 1 {
		return "", "", false
	}
	return unescape(fields[4]), types[0], true
}

// unescape undoes the octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Unmount ends the mount at point, whether its daemon lives or is gone. If
// somebody has a file of it open it is an ErrBusy, unless lazy: then the mount
// disappears from the tree and its daemon ends when the last one lets go.
// Errors are also ErrNotMounted, and those of the kernel.
func Unmount(point string, lazy bool) error {
	state, err := StateOf(point)
	if err != nil {
		return err
	}
	if state == NotMounted {
		return fmt.Errorf("%s: %w", point, ErrNotMounted)
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
