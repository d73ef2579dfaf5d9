package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/registry"
)

// unavailable keeps a "not exist" about the store from passing for a statement
// about the registry.
func unavailable(err error) error { return fmt.Errorf("%w: %v", registry.ErrUnavailable, err) }

// errBroken marks what a manifest names and the registry does not have. It says
// nothing about whether the registry answers.
var errBroken = errors.New("the registry does not have what its manifest names")

// Promised turns "not there" into "unavailable" for what a manifest names: its
// absence is a fault, not an answer to who asked for a file.
func Promised(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w: %v", registry.ErrUnavailable, errBroken, err)
	}
	return err
}

// Unavailable tells whether an error says that nothing is known for the time
// being. That something is missing which a manifest names is known.
func Unavailable(err error) bool {
	return errors.Is(err, registry.ErrUnavailable) && !errors.Is(err, errBroken)
}

// IsBad tells what is wrong with a version from what keeps the registry from
// sending it, or us from asking: that may be over at any time.
func IsBad(err error) bool {
	if errors.Is(err, errBroken) {
		return true
	}
	for _, passing := range []error{registry.ErrUnavailable, fs.ErrPermission, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, passing) {
			return false
		}
	}
	return true
}

// malformed marks an error about the bytes of a version, which are what their
// digest says: it can never be shown.
type malformed struct{ error }

func (m malformed) Unwrap() error { return m.error }

// isForGood tells of an error that the same bytes always give.
func isForGood(err error) bool {
	if !IsBad(err) {
		return false
	}
	var m malformed
	return errors.As(err, &m) || errors.Is(err, manifest.ErrUnsupported)
}
