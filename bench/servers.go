package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// registry is a real docker-registry behind a counter.
type registry struct{ *counter }

// layer is where a published corpus lies in the registry.
type layer struct {
	digest    string
	size, toc int64 // bytes; where the table of contents begins
}

func (b *bench) startRegistry() (registry, error) {
	address, err := freeAddress()
	if err != nil {
		return registry{}, err
	}
	config := filepath.Join(b.temp, "registry.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q, relativeurls: true, secret: any}\n",
		filepath.Join(b.temp, "registry"), address)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return registry{}, err
	}
	ready := func() bool { return b.answers("http://" + address + "/v2/") }
	if _, err := b.start(ready, "docker-registry", "serve", config); err != nil {
		return registry{}, err
	}
	c, err := b.count(address)
	return registry{c}, err
}

// images is the folder of the layouts of a corpus.
func (b *bench) images(c corpus) string { return filepath.Join(b.temp, "images", c.name) }

// publish bundles and uploads a corpus, as its own repository, tag v1.
func (b *bench) publish(c *corpus) error {
	if _, err := b.command("bin/bundle", "v1", "--dir", c.dir(), "--out", b.images(*c), "--name", c.name); err != nil {
		return err
	}
	if _, err := b.command("bin/upload", "v1", b.served.host+"/"+c.name, "--images", b.images(*c)); err != nil {
		return err
	}
	return c.find(filepath.Join(b.images(*c), "v1", "blobs", "sha256"))
}

// find finds the layer in a layout: the one manifest that tells where the table
// of contents is.
func (c *corpus) find(blobs string) error {
	entries, err := os.ReadDir(blobs)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Size() > 1<<20 {
			continue // a layer
		}
		data, err := os.ReadFile(filepath.Join(blobs, e.Name()))
		if err != nil {
			return err
		}
		var m struct {
			Layers []struct {
				Digest      string
				Size        int64
				Annotations map[string]string
			}
		}
		if json.Unmarshal(data, &m) != nil || len(m.Layers) == 0 {
			continue // something else than a manifest
		}
		c.layer = layer{digest: m.Layers[0].Digest, size: m.Layers[0].Size}
		for key, value := range m.Layers[0].Annotations {
			if strings.HasSuffix(key, "offset") {
				_, err = fmt.Sscan(value, &c.layer.toc)
			}
		}
		return err
	}
	return fmt.Errorf("%s: no manifest in %s", c.name, blobs)
}

// daemon is a "regfs mount" with a cache of its own, empty at the start.
type daemon struct {
	*process
	dir    string // the mountpoint
	listen string // host:port of its own address
}

// mount mounts the registry that answers at host. The daemon asks for names
// once: what is counted is what files need.
func (b *bench) mount(host string) (*daemon, error) {
	home, err := b.home()
	if err != nil {
		return nil, err
	}
	return b.mountIn(home, host)
}

// serve mounts, and serves that by nginx.
func (b *bench) serve() (d *daemon, server string, err error) {
	if d, err = b.mount(b.served.host); err != nil {
		return nil, "", err
	}
	if server, err = b.nginx(d.dir); err != nil {
		d.stop()
	}
	return d, server, err
}

// home makes a folder for a mountpoint and a cache.
func (b *bench) home() (string, error) { return os.MkdirTemp(b.temp, "mount") }

// mountIn mounts with the cache that is in home, if there is one.
func (b *bench) mountIn(home, host string) (*daemon, error) {
	d := &daemon{dir: filepath.Join(home, "sites")}
	var err error
	if d.listen, err = freeAddress(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return nil, err
	}
	b.ends = append(b.ends, func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) }) // what a killed daemon leaves
	ready := func() bool {
		_, err := os.Stat(filepath.Join(d.dir, ".regfs/ready"))
		return err == nil
	}
	d.process, err = b.start(ready, "bin/regfs", "mount", d.dir, "--registry", "http://"+host,
		"--cache", filepath.Join(home, "cache"), "--refresh", "1h", "--listen", d.listen)
	return d, err
}

// path is where a corpus is in the mount.
func (d *daemon) path(c corpus) string { return filepath.Join(d.dir, c.name, "v1") }

// fresh measures something on a fresh daemon with an empty cache.
func (b *bench) fresh(host string, work func(d *daemon) error) (float64, error) {
	d, err := b.mount(host)
	if err != nil {
		return 0, err
	}
	defer d.stop()
	return seconds(func() error { return work(d) })
}

// forgetNames lets the kernel forget the names and inodes of all file systems.
func forgetNames() error {
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0o644)
}

// nginxConf is what Debian's nginx.conf says where it matters. Root may enter
// any checkout; the bench serves nobody but itself.
const nginxConf = `
user root root;
worker_processes auto;
daemon off;
pid %[1]s/pid;
events { worker_connections 1024; }
http {
	include /etc/nginx/mime.types;
	sendfile on;
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	include %[1]s/regfs.conf;
}
`

// nginx serves a folder with the project's configuration and gives its URL. In
// the configuration each first word of changes is replaced by the one after it.
func (b *bench) nginx(root string, changes ...string) (string, error) {
	return b.nginxWithRules(root, "", changes...)
}

// nginxWithRules serves it with nginx/rules.conf too, which asks the daemon at
// the address own; with none, it is nginx.
func (b *bench) nginxWithRules(root, own string, changes ...string) (string, error) {
	address, err := freeAddress()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(b.temp, "nginx")
	if err != nil {
		return "", err
	}
	site, err := os.ReadFile("nginx/regfs.conf")
	if err != nil {
		return "", err
	}
	changes = append(changes, "listen 8080;", "listen "+address+";", "root /mnt/sites$", "root "+root+"$",
		"server 127.0.0.1:9464;", "server "+cmp.Or(own, "127.0.0.1:9464")+";")
	text := strings.NewReplacer(changes...).Replace(string(site))
	if err := os.WriteFile(filepath.Join(dir, "regfs.conf"), []byte(text), 0o644); err != nil {
		return "", err
	}
	if own != "" {
		if _, err := b.shell(`mkdir "$1/regfs" && cp nginx/rules.conf "$1/regfs/"`, dir); err != nil {
			return "", err
		}
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir), 0o644); err != nil {
		return "", err
	}
	url := "http://" + address
	p, err := b.start(func() bool { return b.answers(url + "/") }, "nginx", "-e", "stderr", "-c", conf)
	if err != nil {
		return "", err
	}
	b.masters[url] = p.cmd.Process.Pid
	time.Sleep(50 * time.Millisecond) // for its workers to settle
	return url, nil
}

// ticks is the unit of processor times in /proc: USER_HZ, on all that we run on.
const ticks = 10 * time.Millisecond

// processorTime is what the workers of an nginx have used.
func (b *bench) processorTime(server string) (sum time.Duration) {
	out, err := b.command("ps", "-o", "pid=", "--ppid", strconv.Itoa(b.masters[server]))
	if err != nil {
		return 0
	}
	for _, pid := range strings.Fields(out) {
		text, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after) // from the third of proc(5) on
		for _, field := range fields[11:13] {
			n, _ := strconv.Atoi(field)
			sum += time.Duration(n) * ticks
		}
	}
	return sum
}
