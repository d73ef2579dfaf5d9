package namespace

import (
	"sync"
	"time"

	"github.com/regfs/regfs/internal/site"
)

const (
	// firstRest is how long a version that cannot be shown is left alone before it
	// is tried again: a registry that copies from another may have the manifest
	// some seconds before the layers. Each further time it is twice as long, up to
	// lastRest: most of them never become good.
	firstRest = time.Second
	lastRest  = 10 * time.Minute
	// maxBad bounds the table. One that makes way is tried once more than needed.
	maxBad = 1000
)

// badVersions are versions that could not be shown though the registry answered.
type badVersions struct {
	now func() time.Time

	mu sync.Mutex
	m  map[pin]*badVersion
}

type badVersion struct {
	err   error
	rest  time.Duration
	until time.Time // it is left alone till then
}

// check is why a version cannot be shown, while it is left alone.
func (b *badVersions) check(p pin) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v := b.m[p]; v != nil && b.now().Before(v.until) {
		return v.err
	}
	return nil
}

// note takes the outcome of an attempt to make a site of a version.
func (b *badVersions) note(p pin, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil || !site.IsBad(err) {
		delete(b.m, p)
		return
	}
	v := b.m[p]
	if v == nil {
		v = &badVersion{}
		b.makeRoom()
		b.m[p] = v
	}
	v.rest = min(max(2*v.rest, firstRest), lastRest)
	v.err, v.until = err, b.now().Add(v.rest)
}

// makeRoom drops the version that is tried again next.
func (b *badVersions) makeRoom() {
	if b.m == nil {
		b.m = map[pin]*badVersion{}
	}
	if len(b.m) < maxBad {
		return
	}
	var first pin
	for p, v := range b.m {
		if f := b.m[first]; f == nil || v.until.Before(f.until) {
			first = p
		}
	}
	delete(b.m, first)
}
