package registry

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testUser     = "regfs"
	testPassword = "S3CR3T-canary"
	// htpasswd is the line of testUser as `htpasswd -nbB` writes it.
	htpasswd = testUser + ":$2y$05$amXoLNFdZn6D8IDFHcquSOsHojavZHafuD5Dgv3lrtOU4n6LQXqRi\n"
)

// startRegistry runs Debian's docker-registry on a free loopback port until the
// test ends, and returns its host:port. extra is added to its configuration.
func startRegistry(t *testing.T, extra string) string {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not installed: apt-get install docker-registry")
	}
	dir := t.TempDir()
	addr := freeAddr(t)
	config := filepath.Join(dir, "config.yml")
	writeFile(t, config, fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n%s", filepath.Join(dir, "data"), addr, extra))
	cmd := exec.Command(program, "serve", config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	waitFor(t, addr)
	return addr
}

// privateRegistry is one that lets only testUser in.
func privateRegistry(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "htpasswd")
	writeFile(t, file, htpasswd)
	return startRegistry(t, fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", file))
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// waitFor waits until addr takes connections.
func waitFor(t *testing.T, addr string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing listens at %s: %v", addr, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// counter is a proxy before a registry that remembers what was asked.
type counter struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string                                      // "PUT /v2/..."
	refuse   func(http.ResponseWriter, *http.Request) bool // answers instead of the registry
}

func countRequests(t *testing.T, addr string) *counter {
	t.Helper()
	c := &counter{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.requests = append(c.requests, r.Method+" "+r.URL.Path)
		refuse := c.refuse
		c.mu.Unlock()
		if refuse == nil || !refuse(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *counter) addr() string { return c.Listener.Addr().String() }

// take returns the requests with one of the methods since the last call.
func (c *counter) take(methods ...string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []string
	for _, r := range c.requests {
		for _, m := range methods {
			if strings.HasPrefix(r, m+" ") {
				found = append(found, r)
			}
		}
	}
	c.requests = nil
	return found
}

func newClient(t *testing.T, host string, opts ...Option) *Client {
	t.Helper()
	nobody := WithKeychain(func(string) (string, string, error) { return "", "", nil })
	c, err := New(host, append([]Option{nobody}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

func as(user, password string) Option {
	return WithKeychain(func(string) (string, string, error) { return user, password, nil })
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func readBody(t *testing.T, body io.ReadCloser) (string, error) {
	t.Helper()
	defer body.Close()
	data, err := io.ReadAll(body)
	return string(data), err
}
