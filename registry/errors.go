package registry

import (
	"errors"
	"net/http"
)

// What a registry said no to is an fs.ErrNotExist (404) or an fs.ErrPermission
// (401, 403) inside the error. These are the other two kinds.
var (
	// ErrUnavailable means that the registry could not be reached, did not
	// answer in time, or gave an answer that makes no sense: nothing is known
	// about what was asked.
	ErrUnavailable = errors.New("registry unavailable")
	// ErrMismatch means that bytes came which are not those of their digest or
	// size.
	ErrMismatch = errors.New("content does not match its digest")
)

// Lacking tells of an ErrUnavailable whether the storage to which a registry
// redirected said that it has not what was asked for. Both are there, then, and
// may have all else.
func Lacking(err error) bool {
	var f *failure
	return errors.As(err, &f) && errors.Is(f.kind, ErrUnavailable) &&
		(f.status == http.StatusNotFound || f.status == http.StatusGone)
}
