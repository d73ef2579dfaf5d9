package namespace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"testing"
	"time"
)

// walk looks up the names of a path one after another, as the kernel does, and
// gives what the last one is.
func walk(l *Live, names ...string) (e Entry, err error) {
	dir := ""
	for _, name := range names {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		e, err = l.Lookup(ctx, dir, name)
		cancel()
		if err != nil || e.Site != nil {
			return e, err
		}
		dir = path.Join(dir, name)
	}
	return e, err
}

// TestOwnersOfRepositoriesAreFoundWithoutACatalog: as on Docker Hub and GHCR,
// where every repository is below its owner, and nothing is listed.
func TestOwnersOfRepositoriesAreFoundWithoutACatalog(t *testing.T) {
	w := newWorld(t)
	w.Publish("team/app", "v1", map[string]string{"f": "x"})
	w.Publish("other/app", "v1", map[string]string{"f": "y"})
	w.SetAnswer(missing("_catalog"))
	for name, c := range map[string]struct{ repos, found []string }{
		"all":      {nil, []string{"team", "other"}},
		"patterns": {[]string{"te*/*"}, []string{"team"}},
		"named":    {[]string{"other/app"}, []string{"other"}},
	} {
		l := w.open(t.TempDir(), time.Minute, c.repos...)
		<-l.listed
		for _, owner := range []string{"team", "other"} {
			e, err := walk(l, owner, "app", "v1")
			if want := slices.Contains(c.found, owner); want != (e.Site != nil) || !want && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s/app/v1: got %+v, %v; found should be %v", name, owner, e, err, want)
			}
		}
		for _, names := range [][]string{{"favicon.ico"}, {"team", "nothing"}, {"team", "app", "nothing"}} {
			if e, err := walk(l, names...); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v: got %+v, %v; want %v", name, names, e, err, fs.ErrNotExist)
			}
		}
	}
}

// TestAListedRegistryHasNoMaybes: its word is enough.
func TestAListedRegistryHasNoMaybes(t *testing.T) {
	w := newWorld(t)
	w.Publish("team/app", "v1", map[string]string{"f": "x"})
	l := w.open(t.TempDir(), time.Minute)
	eventually(t, "the catalog is read", func() bool { return l.names.complete(time.Hour) })
	wantError(t, l, "", "nobody", fs.ErrNotExist)
}

func TestMaybesAreBoundedAndForgotten(t *testing.T) {
	now := time.Unix(1000, 0)
	m := &maybes{now: func() time.Time { return now }}
	gone := 0
	for i := range 3 * maxMaybe {
		gone += len(m.add(fmt.Sprint(i)))
		now = now.Add(time.Millisecond)
	}
	if len(m.since) != maxMaybe || gone != 2*maxMaybe {
		t.Errorf("got %d folders, %d that made way; want %d and %d", len(m.since), gone, maxMaybe, 2*maxMaybe)
	}
	now = now.Add(maybeAge)
	if got := len(m.old()); got != maxMaybe || len(m.since) != 0 {
		t.Errorf("got %d of %d old ones", got, maxMaybe)
	}
}
