package e2e

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// resolveLimit is how long a daemon may take to notice that a name leads elsewhere:
// Go reads the file of names again after five seconds.
const resolveLimit = 15 * time.Second

// TestARegistryIsFollowedWhereItsNameLeads: it moves to another address while it is
// mounted, its name leads nowhere for a while, and then to a third address. What was
// seen is served through all of it, what was not is an error with its reason in the
// meantime, and nothing is restarted.
func TestARegistryIsFollowedWhereItsNameLeads(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	s := manyFiles(20, 1<<20) // large enough that files are asked for one by one
	s.publish(t, reg.host, "my-app", "v1")
	_, port, err := net.SplitHostPort(reg.host)
	must(t, err)

	h := newHosts(t)
	h.set("127.0.0.1 registry.test")
	d := h.mount("registry.test:" + port)
	names := s.names()
	read := func(name string) error {
		got, err := os.ReadFile(d.path("my-app/v1", name))
		if err == nil && !bytes.Equal(got, s[name]) {
			t.Errorf("%s: got %d other bytes", name, len(got))
		}
		return err
	}
	must(t, read(names[0]))

	moved := func(address, name string) {
		t.Helper()
		began := time.Now()
		reg.stop()
		reg = runRegistry(t, reg.data, net.JoinHostPort(address, port), "")
		h.set(address + " registry.test")
		ok := eventually(resolveLimit, func() bool {
			must(t, read(names[0]))
			err := read(name)
			if err != nil && !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: got %v, want its bytes or EIO", name, err)
			}
			return err == nil
		})
		if t.Logf("it was found at %s after %v", address, time.Since(began).Round(time.Millisecond)); !ok {
			t.Fatalf("it was not found at %s", address)
		}
	}
	moved("127.0.0.2", names[1])

	reg.stop()
	h.set("")
	var why string
	if !eventually(resolveLimit, func() bool {
		must(t, errors.Join(read(names[0]), read(names[1])))
		if err := read(names[2]); !errors.Is(err, syscall.EIO) {
			t.Fatalf("%s while the name leads nowhere: got %v, want EIO", names[2], err)
		}
		why = run(t, "", command(t, "regfs"), "explain", d.path("my-app/v1", names[2])).stdout
		return strings.Contains(why, "lookup registry.test")
	}) {
		t.Errorf("the name leads nowhere, and explain says %q", why)
	}
	moved("127.0.0.3", names[2])
	must(t, read(names[3]))
}

// hosts is a file of names and addresses for one process.
type hosts struct {
	t   *testing.T
	dir string
}

func newHosts(t *testing.T) hosts {
	t.Helper()
	needMount(t)
	h := hosts{t, newDir(t)}
	must(t, os.WriteFile(filepath.Join(h.dir, "resolv.conf"), []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644))
	return h
}

// set replaces all of it; the file itself stays, since it is mounted.
func (h hosts) set(text string) {
	h.t.Helper()
	must(h.t, os.WriteFile(filepath.Join(h.dir, "hosts"), []byte(text+"\n"), 0o644))
}

// inPlace runs a command that finds the names of these files, and nobody else does.
const inPlace = `mount --make-private / && mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"`

// mount mounts a registry in a mount namespace where the names are these. The folder
// of the mountpoint is shared, so that the mount is seen here as well.
func (h hosts) mount(host string) *daemon {
	t := h.t
	t.Helper()
	dir := newDir(t)
	must(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	must(t, unix.Mount("", dir, "", unix.MS_SHARED, ""))
	d := &daemon{dir: filepath.Join(dir, "sites"), cache: filepath.Join(newDir(t), "cache"), host: host}
	must(t, os.Mkdir(d.dir, 0o755))
	t.Cleanup(d.detach)
	d.process = start(t, exec.Command("unshare", "--mount", "--propagation", "unchanged", "sh", "-c", inPlace, h.dir,
		command(t, "regfs"), "mount", d.dir, "--registry", "http://"+host, "--cache", d.cache, "--listen", freeAddress(t), quick))
	t.Cleanup(func() { d.unmountCleanly(t) })
	d.wait(d.ready)
	return d
}
