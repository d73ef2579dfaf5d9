package namespace

import (
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/regfs/regfs/internal/hostname"
	"github.com/regfs/regfs/registry"
)

func TestSitesAreFoundByTheirHost(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1.2", map[string]string{"f": "plain"})
	w.Publish("team/docs", "V3", map[string]string{"f": "short"})
	dir := t.TempDir()
	l := w.open(dir, time.Minute)
	long := hostname.Label("team/docs", "V3")
	wantRead(t, l, HostsFolder, "v1-2--my-app", "f", "plain")
	wantRead(t, l, HostsFolder, long, "f", "short")
	for _, label := range []string{"v1--my-app", "v1-2--your-app", "v1.2--my-app", "my-app", long[:len(long)-1] + "0", "", "a@b", "a:b"} {
		wantError(t, l, HostsFolder, label, fs.ErrNotExist)
	}
	if names, err := l.List(t.Context(), HostsFolder); len(names) > 0 || err != nil {
		t.Errorf("got %q, %v; want nothing listed", names, err)
	}
	l.Close()
	w.SetDown(true)
	l = w.open(dir+"/", time.Minute) // knows what the first knew
	wantRead(t, l, HostsFolder, long, "f", "short")
	wantRead(t, l, HostsFolder, "v1-2--my-app", "f", "plain")
	wantError(t, l, HostsFolder, hostname.Label("team/docs", "V4"), registry.ErrUnavailable)
	wantError(t, l, HostsFolder, "v2--my-app", registry.ErrUnavailable)
}

// TestAMovedTagIsAnnouncedUnderItsHost looks at the folder of hosts too.
func TestAMovedTagIsAnnouncedUnderItsHost(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "live", map[string]string{"f": "old"})
	l := w.open(t.TempDir(), 100*time.Millisecond)
	var mu sync.Mutex
	var told []string
	l.OnChange(func(dir, name string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, dir+"/"+name)
	})
	wantRead(t, l, HostsFolder, "live--my-app", "f", "old")
	w.Publish("my-app", "live", map[string]string{"f": "new"})
	eventually(t, "the move is announced", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Contains(told, ".regfs/hosts/live--my-app")
	})
	wantRead(t, l, HostsFolder, "live--my-app", "f", "new")
}
