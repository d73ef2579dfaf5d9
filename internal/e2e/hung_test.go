package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hang stops a daemon in the middle of its work, with somebody waiting for it.
// freed hears what became of the waiting.
func (d *daemon) hang(t *testing.T) (freed <-chan error) {
	t.Helper()
	must(t, d.cmd.Process.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { _ = d.cmd.Process.Signal(syscall.SIGCONT) }) // or it would not end
	if !eventually(startLimit, d.stopped) {
		t.Fatal("the daemon does not stop")
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := os.Stat(d.path("my-app/v1/not-asked-yet"))
		waiting <- err
	}()
	select {
	case err := <-waiting:
		t.Fatalf("a daemon that is stopped answered: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	return waiting
}

// stopped tells whether no thread of the daemon runs any more.
func (d *daemon) stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", d.cmd.Process.Pid))
	must(d.t, err)
	return !slices.ContainsFunc(threads, func(status string) bool {
		text, err := os.ReadFile(status)
		return err == nil && !strings.Contains(string(text), "State:\tT")
	})
}

// wantFreed wants an error for whoever waited.
func wantFreed(t *testing.T, freed <-chan error) {
	t.Helper()
	select {
	case err := <-freed:
		if err == nil || os.IsNotExist(err) {
			t.Errorf("who waited for a daemon that hangs: got %v, want an error that says nothing of the name", err)
		}
	case <-time.After(startLimit):
		t.Fatal("who waited for a daemon that hangs waits on")
	}
}

// hungMount is a mount with a site that was looked at.
func hungMount(t *testing.T) (*daemon, site) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host, quick)
	wantFile(t, d.path("my-app/v1/index.html"), s["index.html"])
	return d, s
}

// TestAHungDaemonIsGivenUpOn: it is there and does not answer. The cases wait for it
// at the same time.
func TestAHungDaemonIsGivenUpOn(t *testing.T) {
	once(t)
	needMount(t)
	need(t, "unshare", "mount", "setpriv")
	var cases sync.WaitGroup
	defer cases.Wait()
	for name, try := range map[string]func(*testing.T, *daemon, site, <-chan error){
		"unmount": tryUnmountOfHung, "mount": tryMountOverHung, "the control file system": tryControlOfHung,
		"mount over one that wakes up": tryMountOverSlow,
	} {
		cases.Go(func() {
			t.Run(name, func(t *testing.T) {
				d, s := hungMount(t)
				try(t, d, s, d.hang(t))
			})
		})
	}
}

func tryUnmountOfHung(t *testing.T, d *daemon, _ site, freed <-chan error) {
	refusal{1, []string{"does not answer", "unmount"}}.want(t, run(t, "", command(t, "regfs"), "status", d.dir))
	succeed(t, "", command(t, "regfs"), "unmount", d.dir)
	wantFreed(t, freed)
	if d.mounted() {
		t.Errorf("%s is still mounted", d.dir)
	}
	wantAwakeAndGone(t, d.process)
}

// tryMountOverHung: the next daemon takes the place of one that hangs, and keeps it
// when the other wakes up.
func tryMountOverHung(t *testing.T, d *daemon, s site, freed <-chan error) {
	hung, next := d.process, *d
	next.cache = filepath.Join(newDir(t), "cache")
	next.launch(t)
	wantFreed(t, freed)
	wantSite(t, next.path("my-app/v1"), s)
	wantAwakeAndGone(t, hung)
	wantMounted(t, &next)
	wantSite(t, next.path("my-app/v1"), s)
}

// slowDaemon is for how long a daemon may stand still that is not given up on: on a
// machine that swaps, say.
const slowDaemon = 5 * time.Second

// tryMountOverSlow: a daemon that answers after all keeps its mount.
func tryMountOverSlow(t *testing.T, d *daemon, s site, waiting <-chan error) {
	second := exec.Command(command(t, "regfs"), "mount", d.dir, "--registry", d.host, "--cache", newDir(t), "--listen=")
	var said bytes.Buffer
	second.Stderr = &said
	must(t, second.Start())
	time.Sleep(slowDaemon)
	must(t, d.cmd.Process.Signal(syscall.SIGCONT))
	if err := second.Wait(); err == nil || !strings.Contains(said.String(), "mount already") {
		t.Errorf("mount over a slow daemon's: got %v, %q; want that it is a mount already", err, said.String())
	}
	if err := <-waiting; !os.IsNotExist(err) {
		t.Errorf("who waited for a slow daemon: got %v, want that there is no such file", err)
	}
	wantMounted(t, d)
	waitFor(t, d.path("my-app/v1/index.html"), s["index.html"])
}

// tryControlOfHung: who may not unmount, as in a container, frees those that wait by
// way of the kernel's control file system.
func tryControlOfHung(t *testing.T, d *daemon, _ site, freed <-chan error) {
	unprivileged := `mount -t fusectl none /sys/fs/fuse/connections && exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$0" unmount "$1"`
	r := run(t, "", "unshare", "--mount", "sh", "-c", unprivileged, command(t, "regfs"), d.dir)
	refusal{exitNotAllowed, []string{"does not answer", "not permitted"}}.want(t, r)
	wantFreed(t, freed)
	succeed(t, "", command(t, "regfs"), "unmount", d.dir)
}

// wantAwakeAndGone has a daemon that hung go on: without its mount it ends.
func wantAwakeAndGone(t *testing.T, p *process) {
	t.Helper()
	must(t, p.cmd.Process.Signal(syscall.SIGCONT))
	if !eventually(stopLimit, func() bool { return !p.running() }) {
		t.Error("a daemon goes on without its mount")
	}
}
