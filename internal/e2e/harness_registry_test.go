package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// registry is a real docker-registry with storage that tests can look into and
// damage.
type registry struct {
	*process
	host string // host:port
	data string // folder of its storage
}

// What a private registry asks for: user "reader", password "open sesame", once
// as docker's configuration has them (base64), once in the only form that
// docker-registry takes (bcrypt, cost 5).
const (
	auth     = "cmVhZGVyOm9wZW4gc2VzYW1l"
	htpasswd = "reader:$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n"
)

// startRegistry starts an open registry.
func startRegistry(t testing.TB) *registry {
	t.Helper()
	dir := newDir(t)
	return runRegistry(t, filepath.Join(dir, "data"), freeAddress(t), "")
}

// startPrivateRegistry starts a registry that wants user and password.
func startPrivateRegistry(t testing.TB) *registry {
	t.Helper()
	dir := newDir(t)
	file := filepath.Join(dir, "htpasswd")
	must(t, os.WriteFile(file, []byte(htpasswd), 0o644))
	return runRegistry(t, filepath.Join(dir, "data"), freeAddress(t),
		fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", file))
}

// runRegistry runs a registry over the storage in data; more is YAML at the end
// of its configuration.
func runRegistry(t testing.TB, data, host, more string) *registry {
	t.Helper()
	need(t, "docker-registry")
	config := filepath.Join(newDir(t), "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage:\n  filesystem: {rootdirectory: %q}\n  delete: {enabled: true}\nhttp: {addr: %q, relativeurls: true, secret: any}\n%s", data, host, more)
	must(t, os.WriteFile(config, []byte(text), 0o644))
	r := &registry{start(t, exec.Command("docker-registry", "serve", config)), host, data}
	r.wait(func() bool { return answers("http://" + host + "/v2/") })
	return r
}

// blob is the file in which the registry keeps a blob.
func (r *registry) blob(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return filepath.Join(r.data, "docker/registry/v2/blobs/sha256", hex[:2], hex, "data")
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// answers is whether a server answers at url, whatever it says.
func answers(url string) bool {
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode < http.StatusInternalServerError
}
