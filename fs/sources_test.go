package fs

import (
	"runtime"
	"testing"

	"github.com/regfs/regfs/internal/site"
)

// TestOtherVersionsAreRememberedWithinBounds: a few of each file, of so many files,
// and none is kept because of it.
func TestOtherVersionsAreRememberedWithinBounds(t *testing.T) {
	s := sources{}
	kept := new(site.Site)
	for range 3 {
		s.note(1, inode{site: kept})
	}
	if len(s[1]) != 1 {
		t.Errorf("got %d times the same version, want once", len(s[1]))
	}
	for range 2 * maxSources {
		s.note(1, inode{site: new(site.Site)})
	}
	if len(s[1]) != maxSources {
		t.Errorf("got %d versions of a file, want %d", len(s[1]), maxSources)
	}
	runtime.GC()
	for _, o := range s[1] {
		if o.site.Value() != nil {
			t.Error("a version that nobody uses is kept")
		}
	}
	for id := range nodeID(maxShared + 100) {
		s.note(id, inode{site: kept})
	}
	if len(s) != maxShared {
		t.Errorf("got %d files, want %d", len(s), maxShared)
	}
	runtime.KeepAlive(kept)
}
