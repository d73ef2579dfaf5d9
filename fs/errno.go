package fs

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
)

// errno is what the kernel is told of an error. ENOENT passes only for errors
// that say so; whatever is not known to be absent is EIO.
func errno(err error) syscall.Errno {
	var e syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e
	case errors.Is(err, fs.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, fs.ErrPermission):
		return syscall.EACCES
	case errors.Is(err, context.Canceled):
		return syscall.EINTR
	}
	return syscall.EIO
}
