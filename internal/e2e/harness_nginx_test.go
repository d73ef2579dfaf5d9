package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// nginx is a stock nginx with the project's configuration.
type nginx struct {
	*process
	url string // without a slash at the end
}

// nginxConf is what Debian's nginx.conf says where it matters, with all files
// below one folder (%[1]s).
const nginxConf = `
user www-data;
worker_processes 2;
daemon off;
pid %[1]s/pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
	include /etc/nginx/mime.types;
	default_type application/octet-stream;
	sendfile on;
	tcp_nopush on;
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	include %[1]s/regfs.conf;
}
`

// startNginx starts nginx with nginx/regfs.conf, told only where to listen and
// where the mount is.
func startNginx(t testing.TB, mountpoint string) *nginx {
	t.Helper()
	address, servers := regfsConf(t, mountpoint)
	return runNginx(t, address, servers)
}

// startNginxWithRules starts it with nginx/rules.conf too, which asks the daemon
// at the address own.
func startNginxWithRules(t testing.TB, mountpoint, own string) *nginx {
	t.Helper()
	address, servers := regfsConf(t, mountpoint)
	rules, err := os.ReadFile(filepath.Join(root, "nginx/rules.conf"))
	must(t, err)
	return runNginx(t, address, substitute(t, servers, "server 127.0.0.1:9464;", "server "+own+";"), string(rules))
}

// regfsConf is nginx/regfs.conf for a free address.
func regfsConf(t testing.TB, mountpoint string) (address, servers string) {
	t.Helper()
	conf, err := os.ReadFile(filepath.Join(root, "nginx/regfs.conf"))
	must(t, err)
	address = freeAddress(t)
	servers = substitute(t, string(conf), "listen 8080", "listen "+address)
	return address, substitute(t, servers, "root /mnt/sites$", "root "+mountpoint+"$")
}

// runNginx runs nginx with servers that listen at address, and with rules if
// there are any.
func runNginx(t testing.TB, address, servers string, rules ...string) *nginx {
	t.Helper()
	need(t, "nginx")
	dir := newDir(t)
	must(t, os.WriteFile(filepath.Join(dir, "regfs.conf"), []byte(servers), 0o644))
	for _, text := range rules {
		must(t, os.Mkdir(filepath.Join(dir, "regfs"), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "regfs", "rules.conf"), []byte(text), 0o644))
	}
	main := filepath.Join(dir, "nginx.conf")
	must(t, os.WriteFile(main, fmt.Appendf(nil, nginxConf, dir), 0o644))
	n := &nginx{start(t, exec.Command("nginx", "-e", "stderr", "-c", main)), "http://" + address}
	n.wait(func() bool { return answers(n.url + "/.ready") }) // of which nobody is asked
	return n
}

// substitute replaces what has to be in text.
func substitute(t testing.TB, text, from, to string) string {
	t.Helper()
	if !strings.Contains(text, from) {
		t.Fatalf("%q is not in\n%s", from, text)
	}
	return strings.ReplaceAll(text, from, to)
}
