package fs

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// ErrCannotMount means that something is in the way of a mount; the error says
// what, and what to do.
var ErrCannotMount = errors.New("cannot mount")

// maxBackground is how many reads the kernel may have under way. go-fuse's
// default of 12 lets eleven reads of one slow layer stall all other sites.
const maxBackground = 1024

// maxRead is the largest read in bytes, what the kernel takes at most.
const maxRead = 1 << 20

// fsType is how the mount table knows our mounts.
const fsType = "fuse.regfs"

// MountOptions says how a file system is mounted.
type MountOptions struct {
	Source     string // what the mount table shows as its device
	AllowOther bool   // users other than the one who mounts may read
}

// Mount is a mounted file system.
type Mount struct {
	point  string
	server *fuse.Server
	served chan struct{} // closed when the kernel has let go of it
	once   sync.Once
}

// Start mounts f at point, a folder that is empty or not there yet, and serves
// it. What a daemon that died has left there is replaced. Its errors are
// ErrCannotMount.
func Start(f fuse.RawFileSystem, point string, o MountOptions) (*Mount, error) {
	point, err := prepare(point)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCannotMount, err)
	}
	server, err := fuse.NewServer(f, point, fuseOptions(o))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCannotMount, point, explain(err))
	}
	m := &Mount{point: point, server: server, served: make(chan struct{})}
	// Not WaitMount: the mount is there already, and that opens a file of it. A
	// process that is killed with a file of its own mount open waits for itself
	// to answer the FLUSH, for ever.
	go func() {
		server.Serve()
		close(m.served)
	}()
	return m, nil
}

func fuseOptions(o MountOptions) *fuse.MountOptions {
	root := os.Geteuid() == 0 // who needs no fusermount3, and passes flags in place of options
	var options []string
	if !root {
		options = []string{"ro", "nosuid", "nodev"}
	}
	return &fuse.MountOptions{
		FsName: o.Source, Name: "regfs", AllowOther: o.AllowOther, Options: options,
		MaxBackground: maxBackground, MaxWrite: maxRead, MaxReadAhead: maxRead,
		DirectMountStrict:        root,
		DirectMountFlags:         unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV,
		ExplicitDataCacheControl: true, // pages are dropped when we say so: content never changes
		ExtraCapabilities:        fuse.CAP_NO_OPENDIR_SUPPORT,
		EnableSymlinkCaching:     true,
		DisableXAttrs:            true,
		Logger:                   log.New(debugLog{}, "", 0),
	}
}

// debugLog takes what go-fuse has to say.
type debugLog struct{}

func (debugLog) Write(p []byte) (int, error) {
	slog.Debug("go-fuse", "event", "fuse", "text", string(p))
	return len(p), nil
}

// prepare sees to it that point can be mounted on, and gives its absolute path.
func prepare(point string) (string, error) {
	point, err := filepath.Abs(point)
	if err != nil {
		return "", err
	}
	if err := replaceDead(point); err != nil {
		return "", err
	}
	if err := os.Mkdir(point, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%w: make the folder in which it is to be first", err)
	}
	if point, err = filepath.EvalSymlinks(point); err != nil {
		return "", err
	}
	if err := replaceDead(point); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(point)
	if err != nil {
		return "", err
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("%s is not empty (it has %q): choose an empty folder", point, entries[0].Name())
	}
	return point, checkDevice()
}

// replaceDead detaches mounts at point whose daemon is gone or hangs, and refuses
// live ones.
func replaceDead(point string) error {
	for {
		state, err := stateWithin(point, giveUpWait)
		if err != nil || state == NotMounted {
			return err
		}
		switch state {
		case Alive:
			return fmt.Errorf("%s is a regfs mount already: 'regfs unmount %s' ends it", point, point)
		case Hung:
			err = giveUp(point)
		default:
			err = detach(point)
		}
		if err != nil {
			return fmt.Errorf("%s: detach the mount of a daemon that is gone: %w", point, err)
		}
		slog.Info("detached a mount whose daemon is gone", "event", "stale_mount", "path", point, "hung", state == Hung)
	}
}

// checkDevice tells what is missing on this machine before the kernel does it
// in fewer words.
func checkDevice() error {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return fmt.Errorf("%w: this machine has no FUSE; load the kernel module ('modprobe fuse'), "+
			"or give the container the device ('--device /dev/fuse')", err)
	}
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := exec.LookPath("fusermount3"); err != nil {
		if _, err := exec.LookPath("fusermount"); err != nil {
			return errors.New("only root can mount without fusermount3: install the package fuse3, or run as root")
		}
	}
	return nil
}

// explain adds to an error of mounting what most often is behind it.
func explain(err error) error {
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%w: mounting needs root, or CAP_SYS_ADMIN and /dev/fuse in a container", err)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: if it is about allow_other, put 'user_allow_other' into /etc/fuse.conf, or give --allow-other=false", err)
	}
	return err
}

// Done is closed when the file system has been unmounted, by whomever.
func (m *Mount) Done() <-chan struct{} { return m.served }

// Point is where the file system is mounted, an absolute path.
func (m *Mount) Point() string { return m.point }

// closeWait is how long Close waits for the kernel to let go; it does not while
// somebody has a file open.
const closeWait = 2 * time.Second

// Close unmounts. Files and folders that somebody has open do not keep it: the
// mount is detached from the tree, and they fail when the process ends.
func (m *Mount) Close() error {
	var err error
	m.once.Do(func() {
		select {
		case <-m.served:
			return // somebody else unmounted it
		default:
		}
		err = m.unmount()
		select {
		case <-m.served:
		case <-time.After(closeWait):
		}
	})
	return err
}

// unmount takes the mount out of the tree. It asks the mount itself nothing: a
// process that is killed while it waits for its own answer waits for ever.
func (m *Mount) unmount() error {
	_, ours, err := mounted(m.point)
	if err != nil || !ours {
		return err
	}
	if err = unmount(m.point, 0); errors.Is(err, syscall.EBUSY) {
		err = detach(m.point)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", m.point, err)
	}
	return nil
}
