package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// warm makes W1 to W4, and M1 from the same daemon: regfs under nginx beside the
// same nginx over the local folder, everything in the page cache.
func (b *bench) warm() error {
	d, ours, err := b.serve()
	if err != nil {
		return err
	}
	defer d.stop()
	limit, err := b.ext4()
	if err != nil {
		return err
	}
	again, err := b.ext4()
	if err != nil {
		return err
	}
	bucket, err := b.bucket(0)
	if err != nil {
		return err
	}
	cloud, cloudProcess, err := b.rclone(bucket)
	if err != nil {
		return err
	}
	defer cloudProcess.stop()
	image, err := b.squash(b.docs)
	if err != nil {
		return err
	}
	folders := []string{d.path(b.docs), filepath.Join(b.local, b.docs.name, "v1")}
	var rivals []rival
	for _, r := range []struct{ name, root string }{{rcloneName, cloud}, {squashfuseName, image}} {
		server, err := b.nginx(r.root)
		if err != nil {
			return err
		}
		rivals = append(rivals, rival{r.name, server})
		folders = append(folders, filepath.Join(r.root, b.docs.name, "v1"))
	}
	for _, dir := range folders {
		if _, err := b.shell(`tar cf - -C "$1" . | cat >/dev/null`, dir); err != nil {
			return err
		}
	}
	loads := b.loads()
	servers := []string{ours, limit, again}
	for _, r := range rivals {
		servers = append(servers, r.server)
	}
	every := slices.Concat(b.docs.urls(), loads[len(loads)-1].paths)
	for _, server := range servers { // nginx looks for more than tar does
		if err := b.visit(server, every); err != nil {
			return err
		}
	}
	for _, l := range []load{loads[0], loads[1]} {
		l.id, l.what, l.must = "W0", "the same beside itself, for the noise: ext4, "+l.what, 0
		if err := b.underLoad(nil, again, limit, l, nil); err != nil {
			return err
		}
	}
	var most int
	for _, load := range loads {
		if err := b.underLoad(d, ours, limit, load, rivals); err != nil {
			return err
		}
		kib, err := d.resident()
		if err != nil {
			return err
		}
		most = max(most, kib)
	}
	b.memory(most, len(loads))
	return nil
}

// ext4 is an nginx over docs in a local folder, as it is in the mount, with the
// folders by which our configuration of nginx knows a site: it answers what is missing
// in the same steps then.
func (b *bench) ext4() (server string, err error) {
	if b.local == "" {
		dir := filepath.Join(b.temp, "local")
		site := filepath.Join(dir, b.docs.name, "v1")
		if _, err := b.shell(`mkdir -p "$1/.regfs" "$2"; cp -rl "$3/." "$2"; mkdir "$2/.regfs"`, dir, site, b.docs.dir()); err != nil {
			return "", err
		}
		b.local = dir
	}
	return b.nginx(b.local)
}

// visit asks a server for every path once.
func (b *bench) visit(server string, paths []string) error {
	for _, path := range paths {
		req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, server+path, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// rival is an nginx over what a peer mounts.
type rival struct{ name, server string }

// load is what wrk asks for in one row.
type load struct {
	id, what    string
	connections int
	paths       []string
	must        float64
	headers     []string
}

func (b *bench) loads() []load {
	page, large, all := b.docs.nearest(10<<10), b.docs.nearest(1<<20), b.docs.urls()
	return []load{
		{"W1", fmt.Sprintf("warm, one page of %d B, 32 connections", page.size), 32, []string{b.docs.url(page.path)}, 0.97, nil},
		{"W2", "warm, all files at random, 32 connections", 32, all, 0.95, nil},
		{"W2", "warm, all files at random, 128 connections", 128, all, 0.95, nil},
		{"W3", fmt.Sprintf("warm, one file of %d B, 32 connections", large.size), 32, []string{b.docs.url(large.path)}, 0.97, nil},
		{"W4", "warm, 404 inside a site, 32 connections", 32, []string{b.docs.url("is/not/there.html"), b.docs.url("neither.html")}, 0.95, nil},
	}
}

// urls are the paths at which nginx has the files.
func (c corpus) urls() (all []string) {
	for _, f := range c.files {
		all = append(all, c.url(f.path))
	}
	return all
}

// url is the path at which nginx has a file.
func (c corpus) url(path string) string {
	u := url.URL{Path: "/" + c.name + "/v1/" + path}
	return u.EscapedPath()
}

// underLoad makes one row. d is nil where there is no daemon.
func (b *bench) underLoad(d *daemon, ours, limit string, l load, rivals []rival) error {
	took, answers := map[string]time.Duration{}, map[string]float64{}
	loaded := func(server string) func() (float64, error) {
		return func() (float64, error) {
			before := b.processorTime(server)
			rate, err := b.wrk(server, l.connections, l.paths, l.headers...)
			took[server] += b.processorTime(server) - before
			answers[server] += rate * b.load.Seconds()
			return rate, err
		}
	}
	for _, server := range []string{ours, limit} { // the pages of neither are new
		if _, err := loaded(server)(); err != nil {
			return err
		}
	}
	var peers []peer
	late := map[string]bool{} // peers
	for _, r := range rivals {
		peers = append(peers, peer{r.name, func() (float64, error) {
			rate, err := loaded(r.server)()
			if errors.Is(err, errTimedOut) {
				late[r.name], err = true, nil
			}
			return rate, err
		}})
	}
	before, err := d.requests()
	if err != nil {
		return err
	}
	p, err := b.alternate(loaded(ours), loaded(limit), peers...)
	if err != nil {
		return err
	}
	after, err := d.requests()
	if err != nil {
		return err
	}
	perAnswer := func(server string) float64 { return float64(took[server].Microseconds()) / answers[server] }
	note := fmt.Sprintf("nginx: %.0f µs of processor time an answer, beside %.0f", perAnswer(ours), perAnswer(limit))
	if d != nil {
		note += fmt.Sprintf("; %d requests to the daemon meanwhile", after-before)
	}
	for _, name := range slices.Sorted(maps.Keys(late)) {
		note += "; some answers of " + name + " did not come within two seconds"
	}
	b.table.throughput(l.id, l.what, p, l.must, note)
	return nil
}

// requests is how many requests of the kernel the daemon has answered.
func (d *daemon) requests() (sum int64, err error) {
	if d == nil {
		return 0, nil
	}
	text, err := fetched("http://" + d.listen + "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "regfs_fuse_request_duration_seconds_count") {
			continue
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:len(line)-1], 64)
		if err != nil {
			return 0, err
		}
		sum += int64(n)
	}
	return sum, nil
}

// fetched is what is at a URL.
func fetched(url string) (string, error) {
	resp, err := http.Get(url) //nolint:gosec,noctx // our own daemon's
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}
