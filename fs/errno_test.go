package fs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/regfs/regfs/internal/layer"
	"github.com/regfs/regfs/registry"
)

func TestErrnoOnlySaysENOENTWhenTheErrorDoes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{fmt.Errorf("open: %w", syscall.ENAMETOOLONG), syscall.ENAMETOOLONG},
		{fmt.Errorf("tag: %w", fs.ErrNotExist), syscall.ENOENT},
		{fmt.Errorf("401: %w", fs.ErrPermission), syscall.EACCES},
		{fmt.Errorf("wait: %w", context.Canceled), syscall.EINTR},
		{context.DeadlineExceeded, syscall.EIO},
		{registry.ErrUnavailable, syscall.EIO},
		{registry.ErrMismatch, syscall.EIO},
		{layer.ErrFormat, syscall.EIO},
		{errors.New("file not found"), syscall.EIO},
	} {
		if got := errno(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}
