package namespace

import (
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/site"
)

// maxPast bounds how many versions a tag remembers that it named before. A tag
// that moves oftener than this in a day has visitors who stay for less.
const maxPast = 10

// remember puts what a tag named until now in front of what it named before. A
// version is in the list once, and what is too old, or is shown now, is not.
func remember(list []site.Past, left site.Past, shown digest.Digest, now time.Time) []site.Past {
	next := []site.Past{left}
	for _, p := range list {
		if p.Manifest != left.Manifest {
			next = append(next, p)
		}
	}
	next = slices.DeleteFunc(next, func(p site.Past) bool { return p.Manifest == shown || !now.Before(p.Till) })
	return next[:min(len(next), maxPast)]
}
