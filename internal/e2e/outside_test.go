package e2e

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestNoPathChoosesAHost asks nginx and the mount for what other tools take for
// hosts. The registry that was named at the start is asked for some of it, as for
// any repository; nobody else is, by whatever way.
func TestNoPathChoosesAHost(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	foreign := func(w http.ResponseWriter, req *http.Request) {
		t.Errorf("a path chose the host %s: %s %s", req.Host, req.Method, req.URL)
		w.WriteHeader(http.StatusTeapot)
	}
	near := httptest.NewServer(http.HandlerFunc(foreign))
	t.Cleanup(near.Close)
	away := httptest.NewServer(http.HandlerFunc(foreign)) // all that is not on this machine goes by it
	t.Cleanup(away.Close)
	t.Setenv("HTTP_PROXY", away.URL)
	t.Setenv("HTTPS_PROXY", away.URL)
	proxy := startFaultProxy(t, reg.host)
	asked := proxy.spoil(func(*http.Request) bool { return true }, 0, honest)
	d := mount(t, proxy.host(), never)
	web := startNginx(t, d.dir)
	wantFile(t, d.path("my-app/v1/index.html"), s["index.html"])
	neighbour := near.Listener.Addr().String()
	for _, name := range []string{
		"169.254.169.254/latest/meta-data", "169.254.169.254/latest", "100.100.100.200/latest", "evil.example/x/v1", "evil.example:443/x/v1", "evil.example/x",
		"registry-1.docker.io/library/nginx/latest", "docker.io/nginx/latest", "ghcr.io/a/b/v1", "localhost:8080/x/v1", "localhost/x/v1",
		neighbour + "/x/v1", neighbour + "/v2", neighbour + "/my-app/v1", "[::1]/x/v1", "0x7f000001/x/v1", "2130706433/x/v1",
		"http:/" + neighbour + "/x", "http:", "my-app/v1@" + neighbour, "my-app@" + neighbour, "my-app:" + neighbour, "_catalog/x",
		"v2/my-app/manifests", "my-app/manifests/v1", "my-app/blobs/uploads", "my-app/v1%3f" + neighbour, "@" + neighbour + "/x",
	} {
		if _, err := os.Stat(d.path(name)); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("%q: got %v, want %v", name, err, syscall.ENOENT)
		}
		url := web.url + "/" + strings.ReplaceAll(name, "%", "%25") + "/"
		if got := fetch(t, url).status; got != http.StatusNotFound {
			t.Errorf("%q through nginx: got %d, want 404", name, got)
		}
	}
	for _, h := range proxy.seen(asked) {
		if h.method != http.MethodGet && h.method != http.MethodHead || strings.Contains(h.path, "..") {
			t.Errorf("the registry was asked for %s %s", h.method, h.path)
		}
	}
	wantSite(t, d.path("my-app/v1"), s)
}

// TestTheDaemonIsOpenToNobody: it listens on this machine only, and nowhere else
// than it says; what it says there changes nothing and shows no memory; and the web
// server's user gets into neither its cache nor its memory.
func TestTheDaemonIsOpenToNobody(t *testing.T) {
	need(t, "setpriv")
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	own := freeAddress(t)
	d := mount(t, reg.host, never, "--listen="+own)
	wantFile(t, d.path("my-app/v1/index.html"), s["index.html"])
	if got := listening(t, d.cmd.Process.Pid); !slices.Equal(got, []string{own}) {
		t.Errorf("the daemon listens at %q, want %s alone", got, own)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/vars", "/debug/pprof/heap", "/", "/notify", "/config"} {
		if got := fetch(t, "http://"+own+path).status; got != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, got)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		for _, path := range []string{"/metrics", "/healthz", "/readyz", "/explain", "/rules", "/notify"} {
			if got := statusOf(t, method, "http://"+own+path); got != http.StatusMethodNotAllowed && got != http.StatusNotFound {
				t.Errorf("%s %s: got %d, want 404 or 405", method, path, got)
			}
		}
	}
	for _, path := range []string{d.cache, fmt.Sprintf("/proc/%d/mem", d.cmd.Process.Pid), fmt.Sprintf("/proc/%d/environ", d.cmd.Process.Pid)} {
		if err := asVisitor(path); err == nil {
			t.Errorf("the web server's user can read %s", path)
		}
	}
	if err := asVisitor(d.path("my-app/v1/index.html")); err != nil {
		t.Errorf("the web server's user cannot read the site: %v", err)
	}
}

// asVisitor reads a file, or lists a folder, as the web server's user.
func asVisitor(path string) error {
	read := `if [ -d "$0" ]; then exec ls "$0"; else exec head -c 1 "$0"; fi`
	text, err := exec.Command("setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", "sh", "-c", read, path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
}

// statusOf sends a request without a body.
func statusOf(t *testing.T, method, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	must(t, err)
	resp, err := client.Do(req)
	must(t, err)
	must(t, resp.Body.Close())
	return resp.StatusCode
}

// listening lists where a process listens: addresses of the network, and names of
// sockets. Source: proc_net(5), proc_pid_fd(5).
func listening(t *testing.T, pid int) (found []string) {
	t.Helper()
	own := map[string]bool{}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(t, err)
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			own[strings.Trim(strings.TrimPrefix(target, "socket:"), "[]")] = true
		}
	}
	for _, kind := range []string{"tcp", "tcp6", "unix"} {
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, kind))
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		must(t, err)
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			switch {
			case kind == "unix" && len(f) > 6 && f[3] == "00010000" && own[f[6]]: // it accepts
				found = append(found, strings.Join(f[7:], " "))
			case kind != "unix" && len(f) > 9 && f[3] == "0A" && own[f[9]]: // TCP_LISTEN
				found = append(found, addressOf(t, f[1]))
			}
		}
	}
	return found
}

// addressOf reads an address such as 0100007F:1F90, whose words are little-endian.
func addressOf(t *testing.T, s string) string {
	t.Helper()
	address, port, _ := strings.Cut(s, ":")
	ip, err := hex.DecodeString(address)
	must(t, err)
	for i := 0; i+3 < len(ip); i += 4 {
		slices.Reverse(ip[i : i+4])
	}
	var number int
	_, err = fmt.Sscanf(port, "%x", &number)
	must(t, err)
	return net.JoinHostPort(net.IP(ip).String(), fmt.Sprint(number))
}
