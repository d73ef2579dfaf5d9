package e2e

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestAKilledDaemonStartsAgain kills the daemon with SIGKILL, which leaves its
// mount, and starts it on the same mountpoint.
func TestAKilledDaemonStartsAgain(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	dir := s.write(t)
	publishDir(t, dir, reg.host, "my-app", "v1")
	d := mount(t, reg.host, quick)
	web := startNginx(t, d.dir)
	compareTree(t, dir, d.path("my-app/v1"))

	d.kill()
	// What the kernel has in its caches it goes on serving; the daemon is missed
	// at the first name that it has not.
	if _, err := os.Stat(d.path("my-app/v1/not-asked-yet")); !errors.Is(err, syscall.ENOTCONN) {
		t.Errorf("with the daemon killed: got %v, want %v", err, syscall.ENOTCONN)
	}
	if got := fetch(t, web.url+"/my-app/v1/not-asked-yet").status; got != http.StatusServiceUnavailable {
		t.Errorf("nginx, with the daemon killed: got %d, want 503", got)
	}
	d.launch(t)
	compareTree(t, dir, d.path("my-app/v1"))
	web.compare(t, s, "/my-app/v1/")
	if got := len(mountsBelow(d.dir)); got != 1 {
		t.Errorf("got %d mounts on the mountpoint, want 1", got)
	}
}

// TestADaemonKilledAtItsStartEnds kills daemons as soon as their mount is there.
// One that has a file of its own mount open at that moment would wait, for ever,
// for itself to answer the close.
func TestADaemonKilledAtItsStartEnds(t *testing.T) {
	needMount(t)
	reg := startRegistry(t)
	d := &daemon{dir: newDir(t)}
	cache := filepath.Join(newDir(t), "cache")
	t.Cleanup(d.detach)
	for i := range 30 {
		p := start(t, exec.Command(command(t, "regfs"), "mount", d.dir, "--registry", reg.host, "--cache", cache))
		for p.running() && !d.mounted() { // without a pause: the moment is short
			continue
		}
		time.Sleep(time.Duration(i) * 20 * time.Microsecond) // another moment each time
		p.kill()
		d.detach()
	}
}

// TestKnownSitesServeWithoutTheRegistry: with the registry gone, also at start,
// what was read once is served, and what is not known is an error, not missing.
func TestKnownSitesServeWithoutTheRegistry(t *testing.T) {
	for name, outage := range map[string]func(*relay){
		"refuses connections": (*relay).down,
		"answers 500":         func(r *relay) { r.set(fail) },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutage(t)
			outage(o.relay)
			o.check("registry down")
			o.d.waitUntilKept(t, "v1")
			o.d.kill()
			o.d.launch(t)
			o.check("registry down and the daemon killed and started")
			o.d.unmountCleanly(t)
			o.d.launch(t)
			o.check("registry down and the daemon stopped and started")
		})
	}
}

// TestTheMountRecoversWithTheRegistry: what was an error while the registry was
// down is there when the registry is.
func TestTheMountRecoversWithTheRegistry(t *testing.T) {
	o := newOutage(t)
	o.relay.down()
	o.check("registry down")
	o.s.publish(t, o.reg.host, "my-app", "v9")
	o.relay.up()
	waitFor(t, o.d.path("my-app/v9/index.html"), o.s["index.html"])
}

// TestASilentRegistryStopsNoKnownSite: requests that hang for the registry do
// not hold up what is known.
func TestASilentRegistryStopsNoKnownSite(t *testing.T) {
	o := newOutage(t)
	o.relay.set(hang)
	unknown := make(chan error, 1)
	go func() {
		_, err := os.Stat(o.d.path("unknown/v1"))
		unknown <- err
	}()
	compareTree(t, o.dir, o.d.path("my-app/v1"))
	o.web.compare(t, o.s, "/my-app/v1/")
	select {
	case err := <-unknown:
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("an unknown repository: got %v, want %v", err, syscall.EIO)
		}
	case <-time.After(startLimit):
		t.Errorf("an unknown repository: no answer within %v, want %v", startLimit, syscall.EIO)
	}
}

// outage is a mount that has read my-app/v1, about to lose its registry.
type outage struct {
	t     testing.TB
	s     site
	dir   string // s in a folder
	reg   *registry
	relay *relay
	d     *daemon
	web   *nginx
}

func newOutage(t testing.TB) *outage {
	t.Helper()
	o := &outage{t: t, s: smallSite(), reg: startRegistry(t)}
	o.dir = o.s.write(t)
	publishDir(t, o.dir, o.reg.host, "my-app", "v1")
	o.relay = startRelay(t, o.reg.host)
	o.d = mount(t, o.relay.host, quick)
	o.web = startNginx(t, o.d.dir)
	compareTree(t, o.dir, o.d.path("my-app/v1"))
	return o
}

// check asks for what is known and for what is not.
func (o *outage) check(when string) {
	o.t.Helper()
	compareTree(o.t, o.dir, o.d.path("my-app/v1"))
	o.web.compare(o.t, o.s, "/my-app/v1/")
	if got := fetch(o.t, o.web.url+"/my-app/v1/nothing.html").status; got != http.StatusNotFound {
		o.t.Errorf("%s, a name that a known site has not: got %d, want 404", when, got)
	}
	if _, err := os.Stat(o.d.path("unknown/v1")); !errors.Is(err, syscall.EIO) {
		o.t.Errorf("%s, an unknown repository: got %v, want %v", when, err, syscall.EIO)
	}
	a := fetch(o.t, o.web.url+"/my-app/v9/index.html")
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		o.t.Errorf("%s, an unknown tag: got %d, Retry-After %q, want 503 and a Retry-After", when, a.status, a.header.Get("Retry-After"))
	}
}

// TestSIGTERMUnmountsWhatIsInUse ends the daemon while a file is open and a
// process works in a folder of the mount.
func TestSIGTERMUnmountsWhatIsInUse(t *testing.T) {
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	f, err := os.Open(d.path("my-app/v1/media/noise.bin"))
	must(t, err)
	defer f.Close()
	inside := exec.Command("sleep", "600")
	inside.Dir = d.path("my-app/v1/docs")
	start(t, inside)
	d.unmountCleanly(t)
}

// TestUnmountEndsTheDaemon: regfs unmount takes away a living mount and a dead
// one.
func TestUnmountEndsTheDaemon(t *testing.T) {
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	succeed(t, "", command(t, "regfs"), "unmount", d.dir)
	if !eventually(stopLimit, func() bool { return !d.running() }) {
		t.Errorf("the daemon still runs after unmount")
	}
	if d.mounted() {
		t.Errorf("%s is still mounted after unmount", d.dir)
	}
	d.launch(t)
	d.kill()
	succeed(t, "", command(t, "regfs"), "unmount", d.dir)
	if d.mounted() {
		t.Errorf("%s is still mounted after its daemon was killed and unmount ran", d.dir)
	}
}

// TestStatusSaysHowTheMountIs asks a mount that is well, one whose registry is
// gone, and none.
func TestStatusSaysHowTheMountIs(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host, quick)
	wantFile(t, d.path("my-app/v1/index.html"), s["index.html"])
	want := func(word string) {
		t.Helper()
		var r result
		if !eventually(startLimit, func() bool {
			r = run(t, "", command(t, "regfs"), "status", d.dir)
			return contains(r, word)
		}) {
			t.Errorf("status: got %+v, want %q", r, word)
		}
	}
	want("healthy")
	relay.down()
	want("degraded")
	relay.up()
	want("healthy")
	d.unmountCleanly(t)
	want("not mounted")
}
