package e2e

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTheComposeFileServesASite runs the project's docker-compose.yml as it is,
// on images of the names that it uses: up, bundle and upload, look at the site,
// restart regfs and look again, pull the site as an image, down.
func TestTheComposeFileServesASite(t *testing.T) {
	once(t) // the containers run what the Dockerfile builds, whatever the tests run under
	needMount(t)
	d := startDocker(t)
	d.imageOfRegistry("registry:3")
	d.imageOfNginx("nginx:1.28")
	d.imageOfRegfs("regfs")
	p := newProject(t, d)

	p.compose("up", "-d", "--no-build")
	p.compose("run", "--rm", "-T", "bundle", "v1")
	if out := p.compose("run", "--rm", "-T", "upload", "v1"); !strings.Contains(out, "localhost:5000/my-app@sha256:") {
		t.Errorf("upload printed %q", out)
	}
	p.wantSite("after the upload")
	if _, err := os.Stat(filepath.Join(p.dir, ".data/registry/docker/registry/v2/repositories/my-app")); err != nil {
		t.Errorf("the registry's data: %v", err)
	}
	p.compose("restart", "regfs")
	p.wantSite("after a restart of regfs")
	p.compose("kill", "regfs")
	p.compose("up", "-d", "--no-build")
	p.wantSite("after regfs was killed")
	p.wantImage(p.registry + "/my-app:v1")

	p.compose("down")
	if left := mountsBelow(filepath.Join(p.dir, ".data/mnt/sites")); len(left) > 0 {
		t.Errorf("after down: still mounted: %q", left)
	}
}

// project is a copy of what docker-compose.yml needs of the project.
type project struct {
	t        testing.TB
	docker   *docker
	dir      string
	registry string // host:port
	url      string // of nginx
}

func newProject(t testing.TB, d *docker) *project {
	t.Helper()
	p := &project{t: t, docker: d, dir: newDir(t), registry: freeAddress(t)}
	for _, name := range []string{"docker-compose.yml", "Dockerfile", "nginx", "app"} {
		succeed(t, "", "cp", "-r", filepath.Join(root, name), p.dir)
	}
	web := freeAddress(t)
	p.url = "http://" + web
	_, registryPort, _ := net.SplitHostPort(p.registry)
	_, webPort, _ := net.SplitHostPort(web)
	d.env = append(d.env, "REGISTRY_PORT="+registryPort, "HTTP_PORT="+webPort)
	p.share(filepath.Join(p.dir, ".data/mnt"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.compose("logs", "--no-color", "--tail=50"))
		}
		p.compose("down")
	})
	return p
}

// share makes dir a shared mount: what the file's comment tells users of a
// machine without systemd to do.
func (p *project) share(dir string) {
	p.t.Helper()
	must(p.t, os.MkdirAll(dir, 0o755))
	must(p.t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	p.t.Cleanup(func() { must(p.t, unix.Unmount(dir, unix.MNT_DETACH)) })
	must(p.t, unix.Mount("", dir, "", unix.MS_SHARED|unix.MS_REC, ""))
}

// compose runs docker-compose, which has to end well.
func (p *project) compose(args ...string) string {
	p.t.Helper()
	return p.docker.succeed(p.dir, append([]string{"docker-compose"}, args...)...)
}

// wantSite waits until nginx serves the site, and compares it file by file.
func (p *project) wantSite(when string) {
	p.t.Helper()
	page := p.url + "/my-app/v1/"
	if !eventually(startLimit, func() bool { return serves(page) }) {
		p.t.Fatalf("%s: %s does not answer 200 within %v", when, page, startLimit)
	}
	app := filepath.Join(p.dir, "app")
	for _, name := range list(p.t, app) {
		if strings.HasSuffix(name, "/") {
			continue
		}
		want, err := os.ReadFile(filepath.Join(app, name))
		must(p.t, err)
		if got := fetchOK(p.t, page+name); !bytes.Equal(got, want) {
			p.t.Errorf("%s: %s: got %d other bytes than the %d of the source", when, name, len(got), len(want))
		}
	}
}

// serves is whether url answers 200.
func serves(url string) bool {
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// wantImage pulls the site as the image that it also is, and looks into a
// container made of it.
func (p *project) wantImage(reference string) {
	p.t.Helper()
	p.docker.succeed("", "docker", "pull", "--quiet", reference)
	container := strings.TrimSpace(p.docker.succeed("", "docker", "create", reference, "/none"))
	dir := newDir(p.t)
	p.docker.succeed("", "docker", "cp", container+":/app", dir)
	compareTree(p.t, filepath.Join(p.dir, "app"), filepath.Join(dir, "app"))
	p.docker.succeed("", "docker", "rm", container)
}
