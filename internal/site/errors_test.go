package site

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/regfs/regfs/registry"
)

func TestUnavailableIsWhatMayPass(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{registry.ErrUnavailable, true}, {unavailable(errors.New("disk")), true},
		{fs.ErrNotExist, false}, {Promised(fs.ErrNotExist), false}, {registry.ErrMismatch, false}, {nil, false},
	} {
		if got := Unavailable(test.err); got != test.want {
			t.Errorf("%v: got %v, want %v", test.err, got, test.want)
		}
	}
}
