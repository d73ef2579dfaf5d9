package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// daemon is a running "regfs mount".
type daemon struct {
	*process
	dir   string // the mountpoint
	cache string // folder given as --cache
	host  string // of the registry, host:port
	flags []string
}

// quick lets the daemon notice a moved tag at once, as far as tests are
// concerned.
const quick = "--refresh=200ms"

// never keeps the daemon from asking again, for tests that count requests.
const never = "--refresh=1h"

// mount mounts the registry at host, with an empty cache.
func mount(t testing.TB, host string, flags ...string) *daemon {
	t.Helper()
	needMount(t)
	dir := newDir(t)
	d := &daemon{dir: filepath.Join(dir, "sites"), cache: filepath.Join(dir, "cache"), host: host, flags: flags}
	must(t, os.Mkdir(d.dir, 0o755))
	d.launch(t)
	return d
}

// launch starts the daemon, again after it ended, on the same mountpoint and
// cache. At the end of the test it has to stop cleanly and leave no mount.
func (d *daemon) launch(t testing.TB) {
	t.Helper()
	// Flags that come later win, also over this one.
	args := append([]string{"mount", d.dir, "--registry", d.host, "--cache", d.cache, "--listen="}, d.flags...)
	t.Cleanup(d.detach) // runs last
	p := start(t, exec.Command(command(t, "regfs"), args...))
	d.process = p
	t.Cleanup(func() {
		if p.running() {
			d.unmountCleanly(t)
		}
	})
	p.wait(d.ready)
}

// ready is whether the mount says that it serves.
func (d *daemon) ready() bool {
	_, err := os.Stat(filepath.Join(d.dir, ".regfs/ready"))
	return err == nil
}

// unmountCleanly ends the daemon with SIGTERM: it has to unmount and end well.
func (d *daemon) unmountCleanly(t testing.TB) {
	t.Helper()
	if code := d.stop(); code != 0 {
		t.Errorf("regfs mount after SIGTERM: got exit code %d, want 0", code)
	}
	if d.mounted() {
		t.Errorf("%s is still mounted after SIGTERM", d.dir)
	}
}

func (d *daemon) mounted() bool { return slices.Contains(mountsBelow(d.dir), d.dir) }

// waitUntilKept waits until a name, and the tree of some version, are written
// down in the cache. The daemon does so behind, once a second: killed before, it
// forgets names, but no content.
func (d *daemon) waitUntilKept(t testing.TB, name string) {
	t.Helper()
	// Looked for where documents are in the end: one that is being written, in
	// the scratch folder, is gone with the daemon.
	kept := func(folder, text string) bool {
		docs, err := filepath.Glob(filepath.Join(d.cache, "*", "docs", folder, "*"))
		must(t, err)
		return slices.ContainsFunc(docs, func(doc string) bool {
			data, err := os.ReadFile(doc)
			return err == nil && bytes.Contains(data, []byte(text))
		})
	}
	if !eventually(startLimit, func() bool { return kept("namespaces", `"`+name+`"`) && kept("trees", "") }) {
		t.Fatalf("the name %q is not kept in %s", name, d.cache)
	}
}

// detach takes away what a killed daemon left mounted.
func (d *daemon) detach() {
	for d.mounted() && unix.Unmount(d.dir, unix.MNT_DETACH) == nil {
		continue
	}
}

// path is a path in the mount.
func (d *daemon) path(elements ...string) string {
	return filepath.Join(append([]string{d.dir}, elements...)...)
}

// needMount skips tests that mount where mounting is not possible.
func needMount(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		unable(t, "mounting for nginx's user needs root")
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		unable(t, "no FUSE here: %v", err)
	}
	must(t, f.Close())
}
