package e2e

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The exit codes that scripts rely on.
const (
	exitUsage       = 2
	exitNotFound    = 4
	exitNotAllowed  = 5
	exitUnavailable = 6
	exitCannotMount = 8
)

// refusal is what a command that cannot do what it was told has to say: an exit
// code, and a sentence with these words in it.
type refusal struct {
	code  int
	words []string
}

// want fails the test unless r is the refusal, in a sentence and not a stack.
func (want refusal) want(t testing.TB, r result) {
	t.Helper()
	if r.code != want.code {
		t.Errorf("got exit code %d, want %d\n%s", r.code, want.code, r.stderr)
	}
	if r.stdout != "" {
		t.Errorf("got %q on stdout, want nothing: it is for results", r.stdout)
	}
	for _, word := range want.words {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("got %q, want %q in it", r.stderr, word)
		}
	}
	if lines := strings.Count(r.stderr, "\n"); lines > 6 || strings.Contains(r.stderr, "goroutine ") {
		t.Errorf("got %d lines, want a sentence:\n%s", lines, r.stderr)
	}
}

// TestBundleRefusesInASentence gives bundle what cannot be bundled.
func TestBundleRefusesInASentence(t *testing.T) {
	empty := newDir(t)
	dir := smallSite().write(t)
	for name, c := range map[string]struct {
		args []string
		want refusal
	}{
		"no version":    {nil, refusal{exitUsage, []string{"VERSION"}}},
		"a bad version": {[]string{"no/tag", "--dir", dir}, refusal{exitUsage, []string{"no/tag"}}},
		"no folder":     {[]string{"v1", "--dir", "/no/such/folder"}, refusal{exitNotFound, []string{"/no/such/folder"}}},
		"a file":        {[]string{"v1", "--dir", filepath.Join(dir, "index.html")}, refusal{1, []string{"index.html"}}},
		"an empty one":  {[]string{"v1", "--dir", empty}, refusal{1, []string{empty, "empty"}}},
		"unknown flag":  {[]string{"v1", "--nonsense"}, refusal{exitUsage, []string{"--nonsense"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.want(t, run(t, newDir(t), command(t, "bundle"), c.args...))
		})
	}
}

// TestUploadRefusesInASentence gives upload versions and registries that it
// cannot use.
func TestUploadRefusesInASentence(t *testing.T) {
	images := bundle(t, smallSite().write(t), "v1")
	private := startPrivateRegistry(t)
	forbids := serve(t, (*httptest.Server).Start)
	tls := serve(t, (*httptest.Server).StartTLS)
	nobody := freeAddress(t)
	for name, c := range map[string]struct {
		version, host string
		want          refusal
	}{
		"unknown version": {"v9", nobody, refusal{exitNotFound, []string{"v9", "bundle"}}},
		"401":             {"v1", private.host, refusal{exitNotAllowed, []string{private.host, "login"}}},
		"403":             {"v1", forbids, refusal{exitNotAllowed, []string{forbids}}},
		"refused":         {"v1", nobody, refusal{exitUnavailable, []string{nobody}}},
		"TLS":             {"v1", tls, refusal{exitUnavailable, []string{tls, "https://"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.want(t, run(t, "", command(t, "upload"), c.version, c.host+"/my-app", "--images", images))
		})
	}
}

// serve starts a server that forbids everything and gives its host:port.
func serve(t testing.TB, start func(*httptest.Server)) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // that clients speak no TLS is the point
	start(s)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestUploadGivesUpOnASilentRegistry: a registry that takes the connection and
// never answers is an error, after a while.
func TestUploadGivesUpOnASilentRegistry(t *testing.T) {
	once(t)
	images := bundle(t, smallSite().write(t), "v1")
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody reads
	must(t, err)
	defer l.Close()
	host := l.Addr().String()
	refusal{exitUnavailable, []string{host}}.want(t, run(t, "", command(t, "upload"), "v1", host+"/my-app", "--images", images))
}

// TestCredentialsComeFromTheDockerConfiguration uploads to a registry that asks
// for a password, and mounts it.
func TestCredentialsComeFromTheDockerConfiguration(t *testing.T) {
	reg := startPrivateRegistry(t)
	s := smallSite()
	images := bundle(t, s.write(t), "v1")
	config := newDir(t)
	text := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, reg.host, auth)
	must(t, os.WriteFile(filepath.Join(config, "config.json"), []byte(text), 0o600))
	t.Setenv("DOCKER_CONFIG", config)
	upload(t, images, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	wantFile(t, d.path("my-app/v1/index.html"), s["index.html"])
}

// TestARegistryThatRefusesIsEACCES: names that a registry keeps from us are not
// missing, and nginx says 403.
func TestARegistryThatRefusesIsEACCES(t *testing.T) {
	reg := startPrivateRegistry(t)
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	_, err := os.Stat(d.path("my-app/v1/index.html"))
	if !os.IsPermission(err) {
		t.Errorf("got %v, want %v", err, os.ErrPermission)
	}
	if got := fetch(t, web.url+"/my-app/v1/index.html").status; got != http.StatusForbidden {
		t.Errorf("through nginx: got %d, want 403", got)
	}
}

// TestMountRefusesInASentence gives mount what it cannot mount on.
func TestMountRefusesInASentence(t *testing.T) {
	needMount(t)
	reg := startRegistry(t)
	full, free := newDir(t), newDir(t)
	must(t, os.WriteFile(filepath.Join(full, "file"), nil, 0o644))
	d := mount(t, reg.host)
	nested := filepath.Join(free, "no", "such")
	for name, c := range map[string]struct {
		args []string
		want refusal
	}{
		"no mountpoint":      {nil, refusal{exitUsage, []string{"MOUNTPOINT"}}},
		"missing parent":     {[]string{nested}, refusal{exitCannotMount, []string{nested}}},
		"not empty":          {[]string{full}, refusal{exitCannotMount, []string{full, "empty"}}},
		"a file":             {[]string{filepath.Join(full, "file")}, refusal{exitCannotMount, []string{"file"}}},
		"mounted twice":      {[]string{d.dir}, refusal{exitCannotMount, []string{d.dir, "already", "unmount"}}},
		"a bad refresh":      {[]string{free, "--refresh", "soon"}, refusal{exitUsage, []string{"refresh"}}},
		"a bad registry":     {[]string{free, "--registry", "no host"}, refusal{exitUsage, []string{"no host"}}},
		"cache in the mount": {[]string{free, "--cache", filepath.Join(free, "cache")}, refusal{exitUsage, []string{"cache"}}},
	} {
		t.Run(name, func(t *testing.T) {
			cache := filepath.Join(newDir(t), "cache")
			args := append([]string{"mount", "--cache", cache, "--registry", reg.host}, c.args...)
			c.want.want(t, run(t, "", command(t, "regfs"), args...))
		})
	}
	wantMounted(t, d)
}

// wantMounted checks that d still serves, from one mount.
func wantMounted(t testing.TB, d *daemon) {
	t.Helper()
	if !d.ready() || len(mountsBelow(d.dir)) != 1 {
		t.Errorf("the mount does not serve as before: ready %v, mounts %q", d.ready(), mountsBelow(d.dir))
	}
}

// TestMountSaysWhatTheMachineLacks: no /dev/fuse; neither root nor fusermount3.
func TestMountSaysWhatTheMachineLacks(t *testing.T) {
	needMount(t)
	need(t, "unshare", "mount", "setpriv")
	dir := nobodysDir(t)
	args := []string{"mount", dir, "--cache", filepath.Join(newDir(t), "cache"), "--registry", freeAddress(t)}

	t.Run("no fuse device", func(t *testing.T) {
		hide := `mount -t tmpfs none /dev && exec "$0" "$@"`
		r := run(t, "", "unshare", append([]string{"--mount", "sh", "-c", hide, command(t, "regfs")}, args...)...)
		refusal{exitCannotMount, []string{"/dev/fuse"}}.want(t, r)
	})
	t.Run("neither root nor fusermount3", func(t *testing.T) {
		args := slices.Concat(args, []string{"--cache", filepath.Join(nobodysDir(t), "cache")})
		drop := []string{"--reuid=65534", "--regid=65534", "--clear-groups", "env", "PATH=/nonexistent", command(t, "regfs")}
		refusal{exitCannotMount, []string{"fusermount3"}}.want(t, run(t, "", "setpriv", append(drop, args...)...))
	})
	if left := mountsBelow(dir); len(left) > 0 {
		t.Errorf("got mounts %q, want none", left)
	}
}

// nobodysDir is a new folder of the user nobody.
func nobodysDir(t testing.TB) string {
	t.Helper()
	dir := newDir(t)
	must(t, os.Chown(dir, 65534, 65534))
	return dir
}
