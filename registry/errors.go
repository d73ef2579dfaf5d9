package registry

import "errors"

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
