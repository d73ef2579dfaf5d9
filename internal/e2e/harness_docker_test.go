package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docker is a Docker engine of the test's own, with nothing in it.
type docker struct {
	*process
	env []string // for the commands that speak to it
}

// startDocker starts dockerd such that it keeps to one folder and leaves the
// machine's packet filter alone: ports are then published by its proxy.
func startDocker(t testing.TB) *docker {
	t.Helper()
	need(t, "dockerd", "docker", "docker-compose")
	if os.Geteuid() != 0 {
		unable(t, "dockerd needs root")
	}
	dir := newDir(t)
	config := filepath.Join(dir, "daemon.json")
	must(t, os.WriteFile(config, []byte("{}"), 0o644)) // not the machine's
	socket := "unix://" + filepath.Join(dir, "docker.sock")
	d := &docker{
		process: start(t, exec.Command("dockerd", "--config-file", config, "--host", socket,
			"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
			"--pidfile", filepath.Join(dir, "pid"), "--bridge=none",
			"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")),
		env: []string{"DOCKER_HOST=" + socket, "DOCKER_CONFIG=" + dir, "DOCKER_BUILDKIT=0"},
	}
	d.wait(func() bool { return runEnv(t, "", d.env, "docker", "version").code == 0 })
	return d
}

// succeed runs a command against the engine, which has to end well.
func (d *docker) succeed(dir string, args ...string) string {
	d.t.Helper()
	r := runEnv(d.t, dir, d.env, args[0], args[1:]...)
	if r.code != 0 {
		d.t.Fatalf("%q: exit code %d\n%s%s", args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// rootfs is the files of an image to be.
type rootfs struct {
	t   testing.TB
	dir string
}

func newRootfs(t testing.TB) rootfs { return rootfs{t, newDir(t)} }

// program adds a program of this machine under another path, with the libraries
// that it asks for.
func (r rootfs) program(name, as string) {
	r.t.Helper()
	path, err := exec.LookPath(name)
	must(r.t, err)
	r.copy(path, as)
	libraries := regexp.MustCompile(`/\S+`).FindAllString(succeed(r.t, "", "ldd", path), -1)
	for _, library := range libraries {
		if library = strings.TrimSuffix(library, ":"); library != path {
			r.copy(library, library)
		}
	}
}

// copy adds a file of this machine, or the file that a link names.
func (r rootfs) copy(from, to string) {
	r.t.Helper()
	text, err := os.ReadFile(from)
	must(r.t, err)
	r.write(to, text, 0o755)
}

func (r rootfs) write(to string, content []byte, mode os.FileMode) {
	r.t.Helper()
	to = filepath.Join(r.dir, to)
	must(r.t, os.MkdirAll(filepath.Dir(to), 0o755))
	must(r.t, os.WriteFile(to, content, mode))
}

// image makes the files an image of that name; more is lines of a Dockerfile.
func (d *docker) image(name string, r rootfs, more string) {
	d.t.Helper()
	file := filepath.Join(newDir(d.t), "Dockerfile")
	must(d.t, os.WriteFile(file, []byte("FROM scratch\nCOPY . /\n"+more), 0o644))
	d.succeed("", "docker", "build", "--quiet", "--file", file, "--tag", name, r.dir)
}

// imageOfRegistry makes Debian's docker-registry what the official image is for
// its users: where it listens, where it keeps its data.
func (d *docker) imageOfRegistry(name string) {
	need(d.t, "docker-registry")
	r := newRootfs(d.t)
	r.program("docker-registry", "/bin/registry")
	r.write("/etc/distribution/config.yml", []byte(`
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: ":5000"}
`), 0o644)
	d.image(name, r, `ENTRYPOINT ["/bin/registry"]`+"\n"+`CMD ["serve", "/etc/distribution/config.yml"]`+"\n")
}

// imageOfNginx makes Debian's nginx what the official image is for its users.
func (d *docker) imageOfNginx(name string) {
	need(d.t, "nginx")
	r := newRootfs(d.t)
	r.program("nginx", "/usr/sbin/nginx")
	r.copy("/etc/nginx/mime.types", "/etc/nginx/mime.types")
	r.write("/etc/nginx/nginx.conf", []byte(`
user nginx;
worker_processes auto;
daemon off;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
	include /etc/nginx/mime.types;
	default_type application/octet-stream;
	access_log /dev/stdout;
	sendfile on;
	keepalive_timeout 65;
	include /etc/nginx/conf.d/*.conf;
}
`), 0o644)
	r.write("/etc/passwd", []byte("root:x:0:0::/:\nnginx:x:101:101::/:\n"), 0o644)
	r.write("/etc/group", []byte("root:x:0:\nnginx:x:101:\n"), 0o644)
	for _, dir := range []string{"/run", "/var/lib/nginx", "/etc/nginx/conf.d"} {
		must(d.t, os.MkdirAll(filepath.Join(r.dir, dir), 0o755))
	}
	d.image(name, r, `ENTRYPOINT ["/usr/sbin/nginx", "-e", "/dev/stderr"]`+"\nSTOPSIGNAL SIGQUIT\n")
}

// imageOfRegfs makes the last stage of the project's Dockerfile, with commands
// built here instead of in its first stage, which would need the network.
func (d *docker) imageOfRegfs(name string) {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	must(d.t, err)
	_, stage, ok := strings.Cut(string(text), "\nFROM scratch\n")
	if !ok {
		d.t.Fatalf("no stage FROM scratch in\n%s", text)
	}
	context := newDir(d.t)
	must(d.t, build(filepath.Join(context, "out"), false))
	certificates := filepath.Join(context, "etc/ssl/certs/ca-certificates.crt")
	must(d.t, os.MkdirAll(filepath.Dir(certificates), 0o755))
	must(d.t, os.WriteFile(certificates, nil, 0o644)) // all traffic is on loopback
	stage = substitute(d.t, stage, "COPY --from=build ", "COPY ")
	file := filepath.Join(newDir(d.t), "Dockerfile")
	must(d.t, os.WriteFile(file, []byte("FROM scratch\n"+stage), 0o644))
	d.succeed("", "docker", "build", "--quiet", "--file", file, "--tag", name, context)
}
