package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// secretSite has a file for each way in which bytes reach a reader: copied out of
// a record, spliced out of a file, in several chunks, compressed.
func secretSite() site {
	return site{
		"index.html":    []byte("<!doctype html><h1>secret</h1>" + strings.Repeat("<p>text</p>\n", 300)),
		"app.js":        bundleJS(31),
		"media/one.bin": noise(32, 300_000),
		"media/few.bin": noise(33, 9<<20),
		"note.txt":      []byte("a small secret\n"),
	}
}

// forgedLayer is a layer with a table of contents for which its manifest vouches,
// and which names other bytes than are at its places.
func forgedLayer(t *testing.T, s site) ociPart {
	t.Helper()
	var blob []byte
	var entries []string
	for i, name := range s.names() {
		if len(s[name]) > 4<<20 {
			continue // of which it would have to name the chunks
		}
		entries = append(entries, fmt.Sprintf(`{"name":%q,"type":"reg","size":%d,"offset":%d,"chunkDigest":"sha256:%x"}`,
			name, len(s[name]), len(blob), sha256.Sum256(s[name])))
		blob = append(blob, compress(t, craft(tarBlock{name: name, content: string(noise(uint64(900+i), len(s[name])))}), "gzip")...)
	}
	return tabled(t, blob, `{"version":1,"entries":[`+strings.Join(entries, ",")+`]}`)
}

// stolenTable is a layer of random bytes with the very table of contents of
// another.
func (r *registry) stolenTable(t *testing.T, repo, tag string) ociPart {
	t.Helper()
	d := r.layer(t, repo, tag)
	blob := r.read(t, repo, d)
	copy(blob[:int64(len(blob))-d.tocSize(t)], noise(44, len(blob)))
	return ociPart{mediaType: gzipLayer, data: blob, annotations: d.Annotations}
}

// thief is where a forged version is shown, and what its paths begin with.
type thief struct {
	place, root string
	names       []string
}

// pushForged puts both forgeries into a repository, and tells where they are.
func pushForged(t *testing.T, reg *registry, s site) []thief {
	t.Helper()
	crafted := reg.putImage(t, "thief", "crafted", imageConfig(), forgedLayer(t, s))
	reg.putImage(t, "thief", "stolen", imageConfig(), reg.stolenTable(t, "victim", "v1"))
	small := maps.Clone(s)
	delete(small, "media/few.bin")
	return []thief{
		{"thief/crafted", "", small.names()},
		{"thief:crafted", "", small.names()},
		{fmt.Sprintf("thief@sha256:%x", sha256.Sum256(crafted)), "", small.names()},
		{"thief/stolen", "app/", s.names()},
	}
}

// wantNoByte asks for all that a thief names in all ways that there are.
func wantNoByte(t *testing.T, d *daemon, web *nginx, th thief) {
	t.Helper()
	for _, name := range th.names {
		path, address := d.path(th.place, th.root+name), web.url+"/"+(&url.URL{Path: th.place + "/" + th.root + name}).EscapedPath()
		if data, err := os.ReadFile(path); !errors.Is(err, syscall.EIO) || len(data) > 0 {
			t.Errorf("%s: got %d bytes, %v", path, len(data), err)
		}
		wantErrno(t, path, syscall.EIO)
		if data, err := os.ReadFile(path + ".gz"); err == nil || len(data) > 0 {
			t.Errorf("%s.gz: got %d bytes", path, len(data))
		}
		for _, header := range [][]string{{"Accept-Encoding", "identity"}, {"Accept-Encoding", "gzip"}, {"Range", "bytes=100-199"}} {
			if a := fetch(t, address, header...); a.status != http.StatusServiceUnavailable {
				t.Errorf("%s, %q: got %d with %d bytes", address, header, a.status, len(a.body))
			}
		}
	}
	wantNoByteAfterAList(t, d, th)
}

// wantNoByteAfterAList reads files of which a listing has told the kernel: it opens
// them by itself, and only the read comes to the daemon.
func wantNoByteAfterAList(t *testing.T, d *daemon, th thief) {
	t.Helper()
	dir := d.path(th.place, th.root)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 3 {
		t.Fatalf("%s: got %d entries, %v", dir, len(entries), err)
	}
	opened := 0
	for range 5 {
		run(t, "", "ls", "-l", dir) // which asks for attributes of each, so that the listing tells them
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			f, err := os.Open(dir + "/" + e.Name())
			if err != nil {
				continue
			}
			opened++
			for _, off := range []int64{0, 10} {
				if n, err := f.ReadAt(make([]byte, 5), off); n > 0 || !errors.Is(err, syscall.EIO) {
					t.Errorf("%s, opened by its listing: got %d bytes, %v", e.Name(), n, err)
				}
			}
			must(t, f.Close())
		}
	}
	t.Logf("%s: %d files were opened", th.place, opened)
}

// dropPages has the kernel forget the pages of all files of a site.
func dropPages(t *testing.T, dir string, s site) {
	t.Helper()
	for _, name := range s.names() {
		f, err := os.Open(dir + "/" + name)
		must(t, err)
		must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		must(t, f.Close())
	}
}

type cacheStatus struct {
	Cache struct{ Bytes, Files, Damaged int64 } `json:"cache"`
	Tags  []struct{ Repository, Tag, Pinned string }
}

func cacheOf(t *testing.T, d *daemon) cacheStatus {
	t.Helper()
	return decode[cacheStatus](t, []byte(run(t, "", command(t, "regfs"), "status", "--json", d.dir).stdout))
}

// TestNobodyReadsByADigestAlone: two repositories of a thief name the contents of a
// victim, whose bytes are in the cache and in the kernel's, and get none of them,
// whoever came first. The victim notices nothing.
func TestNobodyReadsByADigestAlone(t *testing.T) {
	reg := startRegistry(t)
	s := secretSite()
	s.publish(t, reg.host, "victim", "v1")
	forged := pushForged(t, reg, s)
	for name, thiefFirst := range map[string]bool{"after the victim": false, "before the victim": true} {
		t.Run(name, func(t *testing.T) {
			relay := startRelay(t, reg.host)
			d := mount(t, relay.host, never, "--pin=thief:stolen", "--listen="+freeAddress(t))
			web := startNginx(t, d.dir)
			if thiefFirst {
				for _, th := range forged {
					wantNoByte(t, d, web, th)
				}
			}
			web.compare(t, s, "/victim/v1/")
			gz := web.companion(t, "/victim/v1/app.js", s["app.js"])
			web.companion(t, "/victim/v1/index.html", s["index.html"])
			for _, th := range forged {
				wantNoByte(t, d, web, th)
			}
			if r := run(t, "", command(t, "regfs"), "prefetch", "--mount", d.dir, "thief:crafted", "thief:stolen"); r.code == 0 {
				t.Errorf("prefetch of what is forged: got %+v", r)
			}
			if x := run(t, "", command(t, "regfs"), "explain", "--json", d.path("thief/crafted/app.js")); !strings.Contains(x.stdout, `"local": 0`) {
				t.Errorf("explain: got %+v, want nothing of it here", x)
			}

			// All of the victim's is there still, and its gzip form, without a request.
			relay.down()
			dropPages(t, d.path("victim/v1"), s)
			web.compare(t, s, "/victim/v1/")
			if again := fetch(t, web.url+"/victim/v1/app.js", "Accept-Encoding", "gzip"); !bytes.Equal(again.body, gz.body) || again.header.Get("ETag") != gz.header.Get("ETag") {
				t.Errorf("the victim's gzip form: got %d, %d bytes, %s; want those of before", again.status, len(again.body), again.header.Get("ETag"))
			}
			st := cacheOf(t, d)
			if st.Cache.Damaged != 0 {
				t.Errorf("%d contents are damaged", st.Cache.Damaged)
			}
			for _, tag := range st.Tags {
				if tag.Repository == "thief" && tag.Pinned == "local" {
					t.Errorf("what is forged is said to be local: %+v", tag)
				}
			}
			relay.up()
		})
	}
}

// TestATwinHasFilesOfItsOwn: an honest repository has the same files. It transfers
// them once, whatever the cache has, and shares the disk; its visitors see the
// same ETags. Both are served after a restart while the registry is away.
func TestATwinHasFilesOfItsOwn(t *testing.T) {
	reg := startRegistry(t)
	s := secretSite()
	s.publish(t, reg.host, "victim", "v1")
	s.publish(t, reg.host, "twin", "v1")
	s.with(site{"new.txt": []byte("new")}).publish(t, reg.host, "twin", "v2")
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host, never)
	web := startNginx(t, d.dir)
	web.compare(t, s, "/victim/v1/")
	first := cacheOf(t, d).Cache

	mark := relay.mark()
	web.compare(t, s, "/twin/v1/")
	got := relay.since(mark, "blobs")
	layer := reg.layer(t, "twin", "v1")
	for _, q := range got {
		if !strings.HasPrefix(q.path, "/v2/twin/") {
			t.Errorf("the twin's file came from %s", q.path)
		}
	}
	if n := bytesOf(got); n < layer.Size*9/10 || n > layer.Size*11/10 {
		t.Errorf("the twin took %d bytes of blobs, want its layer's %d once", n, layer.Size)
	}
	after := cacheOf(t, d).Cache
	if after.Files != first.Files || after.Bytes-first.Bytes > 64<<10 {
		t.Errorf("the cache has %+v, before the twin %+v; want one copy", after, first)
	}
	mark = relay.mark()
	wantSite(t, d.path("twin/v2"), s)
	if n := bytesOf(relay.since(mark, "blobs")); n > layer.tocSize(t)+100_000 {
		t.Errorf("another version of the twin took %d bytes of blobs, want its table of contents and little more", n)
	}
	for _, name := range s.names() {
		var tags []string
		for _, repo := range []string{"victim", "twin"} {
			tags = append(tags, fetch(t, web.url+"/"+repo+"/v1/"+name).header.Get("ETag"))
		}
		if tags[0] != tags[1] || tags[0] == "" {
			t.Errorf("%s has the ETags %q, want one", name, tags)
		}
	}
	d.waitUntilKept(t, "twin")
	if !eventually(startLimit, func() bool {
		trees, err := os.ReadDir(d.cache + "/v1/docs/trees")
		return err == nil && len(trees) == 3
	}) {
		t.Error("not all trees are kept")
	}
	relay.down()
	d.unmountCleanly(t)
	d.launch(t)
	for _, repo := range []string{"victim", "twin"} {
		web.compare(t, s, "/"+repo+"/v1/")
	}
}

// TestAManifestAloneShowsNothing: a registry that takes manifests without looking
// for their layers has the victim's very manifest in the thief's repository.
func TestAManifestAloneShowsNothing(t *testing.T) {
	reg := startRegistry(t)
	s := secretSite()
	index := s.publish(t, reg.host, "victim", "v1")
	inner := reg.manifest(t, "victim", index).Manifests[0].Digest
	doc := fetchOK(t, fmt.Sprintf("http://%s/v2/victim/manifests/%s", reg.host, inner), "Accept", typeManifest)
	site{"index.html": []byte("thief")}.publish(t, reg.host, "thief", "own")
	stolen := map[string]bool{"/v2/thief/manifests/v1": true, "/v2/thief/manifests/" + inner: true}
	relay := startRelay(t, reg.host)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !stolen[req.URL.Path] {
			relay.ServeHTTP(w, req)
			return
		}
		w.Header().Set("Content-Type", typeManifest)
		_, _ = w.Write(doc)
	}))
	t.Cleanup(server.Close)
	d := mount(t, strings.TrimPrefix(server.URL, "http://"), never)
	wantSite(t, d.path("victim/v1"), s)
	wantSite(t, d.path("victim@"+inner), s)
	d.waitUntilKept(t, "victim")
	for _, name := range []string{"thief/v1", "thief@" + inner} {
		for _, file := range append(s.names(), "app.js.gz") {
			if data, err := os.ReadFile(d.path(name, file)); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s/%s: got %d bytes, %v", name, file, len(data), err)
			}
		}
		if names, err := os.ReadDir(d.path(name)); err == nil || len(names) > 0 {
			t.Errorf("%s: got %d names, %v", name, len(names), err)
		}
	}
	wantFile(t, d.path("thief/own/index.html"), []byte("thief"))
	wantSite(t, d.path("victim/v1"), s)
}

// TestASharedCacheOpensNothing: two mounts of two registries share a cache, and in
// the other registry a repository of the victim's very name is the thief's.
func TestASharedCacheOpensNothing(t *testing.T) {
	mine, theirs := startRegistry(t), startRegistry(t)
	s := secretSite()
	s.publish(t, mine.host, "victim", "v1")
	theirs.putImage(t, "victim", "v1", imageConfig(), forgedLayer(t, s))
	first := mount(t, mine.host, never)
	wantSite(t, first.path("victim/v1"), s)
	second := mount(t, theirs.host, never, "--cache="+first.cache) // which knows all that is there
	web := startNginx(t, second.dir)
	if got := cacheOf(t, second).Cache.Files; got < int64(len(s)) {
		t.Fatalf("the second daemon knows of %d contents", got)
	}
	names := s.names()
	wantNoByte(t, second, web, thief{"victim/v1", "", slices.DeleteFunc(names, func(name string) bool { return name == "media/few.bin" })})
	mine.stop()
	dropPages(t, first.path("victim/v1"), s)
	wantSite(t, first.path("victim/v1"), s)
}
