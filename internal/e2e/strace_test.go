package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// diskFault is what happens at one call of a thread that writes to the cache.
type diskFault struct {
	call, action string // as strace has them
}

var diskFaults = []diskFault{
	{"write", "signal=KILL"},
	{"pwrite64", "signal=KILL"},
	{"fsync", "signal=KILL"},
	{"renameat", "signal=KILL"},
	{"write", "retval=100"}, // a disk that lies: nothing is written
	{"pwrite64", "retval=100"},
	{"write", "error=EIO"},
	{"renameat", "error=ENOSPC"},
}

// mostCalls is up to which of its calls a thread is failed. It writes a document
// in three pieces, syncs it, renames it and syncs the folder; a large content is
// a write and a rename, a small one a pwrite64. There are two documents, three
// large contents and eight small ones: the first calls see each of their states,
// and later ones are like them.
const mostCalls = 10

// TestNoWrongByteAfterADiskFault reads a site with a daemon that is killed at a
// write, an fsync or a rename, or lied to, and then what it left: without the
// registry, right bytes or an error; with it, all.
func TestNoWrongByteAfterADiskFault(t *testing.T) {
	once(t)
	need(t, "strace")
	reg := startRegistry(t)
	s := manyFiles(8, 12<<10)
	for i := range 3 { // too large for a segment
		s[fmt.Sprintf("large/%d.bin", i)] = noise(uint64(100+i), 200_000)
	}
	s.publish(t, reg.host, "my-app", "v1")
	relay := startRelay(t, reg.host)
	for _, f := range diskFaults {
		t.Run(f.call+" "+f.action, func(t *testing.T) {
			n := 1
			for n <= mostCalls && f.try(t, n, relay, s) {
				n++
			}
			if t.Logf("%d calls", n-1); n == 1 {
				t.Error("no thread came to such a call")
			}
		})
	}
}

// try has a daemon fail at the n-th call, and says whether it came to it.
func (f diskFault) try(t *testing.T, n int, relay *relay, s site) (happened bool) {
	t.Helper()
	dir := newDir(t)
	d := &daemon{dir: filepath.Join(dir, "sites"), cache: filepath.Join(dir, "cache"), host: relay.host, flags: []string{never}}
	must(t, os.Mkdir(d.dir, 0o755))
	trace := filepath.Join(dir, "trace")
	t.Cleanup(d.detach)
	d.process = start(t, exec.Command("strace", "--follow-forks", "--output", trace,
		"--trace", f.call, "--inject", fmt.Sprintf("%s:%s:when=%d", f.call, f.action, n),
		command(t, "regfs"), "mount", d.dir, "--registry", d.host, "--cache", d.cache, "--listen=", never))
	if !eventually(startLimit, func() bool { return !d.running() || d.ready() }) {
		t.Fatal("the daemon was not ready")
	}
	wantRightOr(t, d, s, anyErrno)
	_ = run(t, "", command(t, "regfs"), "unmount", d.dir) // it is an error where the daemon is dead
	if !eventually(stopLimit, func() bool { return !d.running() }) {
		t.Fatal("the daemon does not end")
	}
	d.detach()
	text, err := os.ReadFile(trace)
	must(t, err)

	relay.down()
	d.launch(t)
	wantRightOr(t, d, s, syscall.EIO)
	d.unmountCleanly(t)
	relay.up()
	d.launch(t)
	wantSite(t, d.path("my-app/v1"), s)
	d.unmountCleanly(t)
	return strings.Contains(string(text), "killed by SIGKILL") || strings.Contains(string(text), "(INJECTED)")
}

// anyErrno allows whatever a mount says whose daemon dies.
const anyErrno syscall.Errno = 0

// wantRightOr reads all of my-app/v1: right bytes or the errno.
func wantRightOr(t testing.TB, d *daemon, s site, errno syscall.Errno) {
	t.Helper()
	for _, name := range s.names() {
		got, err := os.ReadFile(d.path("my-app/v1", name))
		switch {
		case err == nil && !bytes.Equal(got, s[name]):
			t.Errorf("%s: got wrong bytes and no error", name)
		case err != nil && errno != anyErrno && !errors.Is(err, errno):
			t.Errorf("%s: got %v, want its bytes or %v", name, err, errno)
		}
	}
}
