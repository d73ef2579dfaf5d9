package main

import (
	"fmt"
	"net/url"
	"os"
	"strings"
)

// warm makes W1 to W4, and M1 from the same daemon: regfs under nginx beside the
// same nginx over the local folder, everything in the page cache.
func (b *bench) warm() error {
	d, err := b.mount(b.served.host)
	if err != nil {
		return err
	}
	defer d.stop()
	ours, err := b.nginx(d.dir)
	if err != nil {
		return err
	}
	limit, err := b.nginx(b.docs.root)
	if err != nil {
		return err
	}
	for _, dir := range []string{d.path(b.docs), b.docs.dir()} {
		if _, err := b.shell(`tar cf - -C "$1" . | cat >/dev/null`, dir); err != nil {
			return err
		}
	}
	for _, load := range b.loads() {
		if err := b.underLoad(d, ours, limit, load); err != nil {
			return err
		}
	}
	return b.memory(d)
}

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

func (b *bench) underLoad(d *daemon, ours, limit string, l load) error {
	for _, server := range []string{ours, limit} { // the pages of neither are new
		if _, err := b.wrk(server, l.connections, l.paths, l.headers...); err != nil {
			return err
		}
	}
	before := d.reads()
	p, err := b.alternate(
		func() (float64, error) { return b.wrk(ours, l.connections, l.paths, l.headers...) },
		func() (float64, error) { return b.wrk(limit, l.connections, l.paths, l.headers...) })
	if err != nil {
		return err
	}
	b.table.throughput(l.id, l.what, p, l.must, fmt.Sprintf("%d reads by the daemon meanwhile", d.reads()-before))
	return nil
}

// reads is how many read(2) the daemon has made, -1 if the kernel does not say.
// A request to it is at least one.
func (d *daemon) reads() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", d.cmd.Process.Pid))
	if err != nil {
		return -1
	}
	var n int64 = -1
	_, after, _ := strings.Cut(string(text), "syscr:")
	if _, err := fmt.Sscan(after, &n); err != nil {
		return -1
	}
	return n
}
