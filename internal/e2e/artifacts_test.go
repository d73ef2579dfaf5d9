package e2e

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/file"
	"oras.land/oras-go/v2/registry/remote"
)

// orasPush pushes files and folders below dir as the oras command does, and
// pulls them again to a new folder, which it gives.
func orasPush(t *testing.T, host, repo, tag, dir string, names ...string) (pulled string) {
	t.Helper()
	store, err := file.New(dir)
	must(t, err)
	defer store.Close()
	var layers []ocispec.Descriptor
	for _, name := range names {
		d, err := store.Add(t.Context(), name, "", "")
		must(t, err)
		layers = append(layers, d)
	}
	m, err := oras.PackManifest(t.Context(), store, oras.PackManifestVersion1_1, "application/vnd.example.notes", oras.PackManifestOptions{Layers: layers})
	must(t, err)
	must(t, store.Tag(t.Context(), m, tag))
	target, err := remote.NewRepository(host + "/" + repo)
	must(t, err)
	target.PlainHTTP = true
	target.Client = client
	_, err = oras.Copy(t.Context(), store, tag, target, tag, oras.DefaultCopyOptions)
	must(t, err)
	pulled = newDir(t)
	back, err := file.New(pulled)
	must(t, err)
	defer back.Close()
	_, err = oras.Copy(t.Context(), target, tag, back, tag, oras.DefaultCopyOptions)
	must(t, err)
	return pulled
}

// TestArtifactsOfORASAreTheirFiles: a file by its title, folders in titles and
// folders that are to be unpacked, as oras pulls them; a file is not fetched
// before it is read.
func TestArtifactsOfORASAreTheirFiles(t *testing.T) {
	reg := startRegistry(t)
	dir := firstStage().with(site{"twice.gz": smallSite().tarGz(t)}).write(t)
	pulled := orasPush(t, reg.host, "notes", "v1", dir, "noise.bin", "empty", "www/index.html", "usr", "names", "twice.gz")
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host)
	list(t, d.path("notes/v1"))
	if got := bytesOf(relay.since(0, "blobs")); got > 100_000 { // the folders are read, the files are not
		t.Errorf("the names cost %d bytes of the files", got)
	}
	compareRoots(t, pulled, d.path("notes/v1"))
	web := startNginx(t, d.dir)
	if got, want := fetchOK(t, web.url+"/notes/v1/twice.gz"), smallSite().tarGz(t); !bytes.Equal(got, want) {
		t.Errorf("a compressed file: got %d bytes, want the %d as they are", len(got), len(want))
	}
}

// TestLargeArtifactsAreVerifiedFirst: a file that is too large to be verified as
// one chunk is read once, all of it, before its name appears, and a byte that is
// wrong keeps it from appearing.
func TestLargeArtifactsAreVerifiedFirst(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	large := titled("model.bin", string(noise(9, 66<<20)))
	reg.putImage(t, "large", "v1", emptyConfig(), large, titled("README", "read me"))
	reg.putImage(t, "other", "v1", emptyConfig(), large)
	d := mount(t, reg.host)
	wantFile(t, d.path("large/v1/model.bin"), large.data)
	path := reg.blob(digest.FromBytes(large.data).String())
	damaged := bytes.Clone(large.data)
	damaged[len(damaged)-1] ^= 1
	must(t, os.WriteFile(path, damaged, 0o644))
	fresh := mount(t, reg.host)
	if _, err := os.ReadFile(fresh.path("other/v1/model.bin")); !errors.Is(err, syscall.EIO) {
		t.Errorf("damaged: got %v, want EIO", err)
	}
}

// TestArtifactsShowWhatHasAName goes through the kinds of artifacts that
// registries hold.
func TestArtifactsShowWhatHasAName(t *testing.T) {
	reg := startRegistry(t)
	helm := ociPart{mediaType: "application/vnd.cncf.helm.config.v1+json", data: []byte(`{"name":"chart"}`)}
	chart := ociPart{mediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip", data: smallSite().tarGz(t)}
	signature := ociPart{mediaType: "application/vnd.dev.cosign.simplesigning.v1+json", data: []byte(`{"critical":{}}`)}
	wasm := titled("app.wasm", "\x00asm")
	wasm.mediaType = "application/wasm"
	reg.putImage(t, "kinds", "chart", helm, chart)
	reg.putImage(t, "kinds", "signature", imageConfig(), signature)
	reg.putImage(t, "kinds", "nothing", emptyConfig(), emptyConfig())
	reg.putImage(t, "kinds", "none", emptyConfig())
	reg.putImage(t, "kinds", "sbom", emptyConfig(), titled("sbom.spdx.json", "{}"), titled("docs/sbom.txt", "text"))
	reg.putImage(t, "kinds", "wasm", emptyConfig(), wasm)
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	for tag, want := range map[string]string{
		"chart": "./", "signature": "./", "nothing": "./", "none": "./",
		"sbom": "./ docs/ docs/sbom.txt sbom.spdx.json", "wasm": "./ app.wasm",
	} {
		if got := strings.Join(list(t, d.path("kinds", tag)), " "); got != want {
			t.Errorf("%s: got %q, want %q", tag, got, want)
		}
		warned := d.tagStatus(t, "kinds", tag).Warning != ""
		if empty := want == "./"; warned != empty {
			t.Errorf("%s: says why it is empty: %v, want %v", tag, warned, empty)
		}
	}
	if got := string(fetchOK(t, web.url+"/kinds/wasm/app.wasm")); got != "\x00asm" {
		t.Errorf("app.wasm: got %q", got)
	}
	if got := fetch(t, web.url+"/kinds/chart/index.html").status; got != http.StatusNotFound {
		t.Errorf("a file of an empty version: got %d, want 404", got)
	}
}

// statusOfTag is what regfs status says of a tag.
type statusOfTag struct{ Repository, Tag, Problem, Warning string }

func (d *daemon) tagStatus(t testing.TB, repo, tag string) statusOfTag {
	t.Helper()
	r := run(t, "", command(t, "regfs"), "status", "--json", d.dir)
	for _, s := range decode[struct{ Tags []statusOfTag }](t, []byte(r.stdout)).Tags {
		if s.Repository == repo && s.Tag == tag {
			return s
		}
	}
	t.Fatalf("%s:%s is not in the status:\n%s", repo, tag, r.stdout)
	return statusOfTag{}
}

// TestWhatCannotBeReadIsADirectoryOfErrors: encrypted, foreign, malformed and too
// deep: the directory is there, its content is EIO and 503, why is in the status
// and once in the log, and the neighbours are served.
func TestWhatCannotBeReadIsADirectoryOfErrors(t *testing.T) {
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "good", "v1")
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	layer := smallSite().tarGz(t)
	foreign := ociPart{mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", data: layer, urls: []string{elsewhere.URL + "/layer"}}
	words := map[string]string{}
	bad := func(tag, word string, layers ...ociPart) {
		reg.putImage(t, "bad", tag, imageConfig(), layers...)
		words[tag] = word
	}
	bad("encrypted", "encrypted", ociPart{mediaType: gzipLayer + "+encrypted", data: layer})
	bad("foreign", "outside the registry", foreign)
	bad("text", "malformed", ociPart{mediaType: gzipLayer, data: bytes.Repeat([]byte("no archive "), 200)})
	bad("out", "leads out", ociPart{mediaType: gzipLayer, data: site{"../../etc/passwd": []byte("x")}.tarGz(t)})
	doc := reg.putImage(t, "bad", "deepest", imageConfig(), ociPart{mediaType: gzipLayer, data: layer})
	entry := entryOf(typeManifest, doc, "")
	for i := range 5 {
		entry = entryOf(typeIndex, reg.putIndex(t, "bad", fmt.Sprint("deep", i+1), entry), "")
	}
	words["deep5"] = "indexes inside each other"
	d := mount(t, reg.host, quick)
	web := startNginx(t, d.dir)
	compareTree(t, smallSite().write(t), d.path("bad/deep4"))
	for tag, word := range words {
		info, err := os.Stat(d.path("bad", tag))
		if err != nil || !info.IsDir() {
			t.Errorf("%s: got %v, want a directory", tag, err)
		}
		for range 3 {
			_, list := os.ReadDir(d.path("bad", tag))
			_, read := os.ReadFile(d.path("bad", tag, "index.html"))
			if !errors.Is(list, syscall.EIO) || !errors.Is(read, syscall.EIO) {
				t.Errorf("%s: got %v and %v, want EIO", tag, list, read)
			}
			if got := fetch(t, web.url+"/bad/"+tag+"/index.html").status; got != http.StatusServiceUnavailable {
				t.Errorf("%s: got %d, want 503", tag, got)
			}
		}
		if got := d.tagStatus(t, "bad", tag).Problem; !strings.Contains(got, word) {
			t.Errorf("%s: the status says %q, want %q in it", tag, got, word)
		}
		log, err := os.ReadFile(d.log)
		must(t, err)
		if got := bytes.Count(log, []byte("tag="+tag+" ")); got != 1 {
			t.Errorf("%s: %d lines in the log, want 1", tag, got)
		}
	}
	compareTree(t, smallSite().write(t), d.path("good/v1"))
	if n := asked.Load(); n != 0 {
		t.Errorf("the URLs of a layer were followed %d times", n)
	}
}

// TestIndexesAreReadForAPlatform: for this machine's, for one that is asked for,
// and past attestations.
func TestIndexesAreReadForAPlatform(t *testing.T) {
	reg := startRegistry(t)
	var entries []map[string]any
	for _, p := range []string{"unknown/unknown", "windows/amd64", "linux/s390x", "linux/arm/v6", "linux/arm/v7", "linux/amd64", "linux/arm64"} {
		layer := ociPart{mediaType: gzipLayer, data: site{"platform": []byte(p)}.tarGz(t)}
		doc := reg.putImage(t, "many", strings.ReplaceAll(p, "/", "-"), imageConfig(), layer)
		entries = append(entries, entryOf(typeManifest, doc, p))
	}
	reg.putIndex(t, "many", "v1", entries...)
	for flag, want := range map[string]string{
		"": "linux/" + runtime.GOARCH, "linux/s390x": "linux/s390x", "linux/arm/v7": "linux/arm/v7", "linux/arm": "linux/arm/v6", "windows/amd64": "windows/amd64", "plan9/mips": "windows/amd64",
	} {
		d := mount(t, reg.host, "--platform="+flag)
		wantFile(t, d.path("many/v1/platform"), []byte(want))
		d.unmountCleanly(t)
	}
	refusal{exitUsage, []string{"--platform", "linux"}}.want(t, run(t, "", command(t, "regfs"), "mount", newDir(t), "--platform", "linux"))
}

// TestAManifestBySHA512 is found, verified, and not believed when it is another.
func TestAManifestBySHA512(t *testing.T) {
	reg := startRegistry(t)
	layer := smallSite().tarGz(t)
	sum := sha512.Sum512(layer)
	inLayer := digest.NewDigestFromEncoded(digest.SHA512, hex.EncodeToString(sum[:]))
	reg.putBlob(t, "long", imageConfig().data)
	reg.putBlobAs(t, "long", layer, inLayer)
	text := titled("file.txt", "by sha512")
	fileSum := digest.SHA512.FromBytes(text.data)
	reg.putBlobAs(t, "long", text.data, fileSum)
	manifest := func(config map[string]any, layers ...any) []byte {
		return encode(t, map[string]any{"schemaVersion": 2, "mediaType": typeManifest, "config": config, "layers": layers})
	}
	doc := manifest(imageConfig().describe(), map[string]any{"mediaType": gzipLayer, "digest": inLayer, "size": len(layer)})
	entry := map[string]any{"mediaType": typeManifest, "digest": digest.SHA512.FromBytes(doc), "size": len(doc), "data": doc}
	reg.putDocument(t, "long", "plain", typeManifest, doc)
	index := encode(t, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []any{entry}})
	artifact := manifest(emptyConfig().describe(), map[string]any{"mediaType": "text/plain", "digest": fileSum, "size": len(text.data), "annotations": text.annotations})
	reg.putBlob(t, "long", emptyConfig().data)
	reg.putDocument(t, "long", "artifact", typeManifest, artifact)
	// The registry does not take an index of what it does not know by that
	// digest, and knows no manifest by sha512: a server in front of it does.
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, as := []byte(nil), typeManifest
		switch last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; last {
		case digest.SHA512.FromBytes(doc).String():
			answer = doc
		case digest.SHA512.FromString("other").String():
			answer = doc
		case "embedded":
			answer, as = index, typeIndex
		default:
			http.Redirect(w, r, "http://"+reg.host+r.URL.RequestURI(), http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", as)
		_, _ = w.Write(answer)
	}))
	defer front.Close()
	d := mount(t, strings.TrimPrefix(front.URL, "http://"))
	want := smallSite().write(t)
	compareTree(t, want, d.path("long/plain"))
	compareTree(t, want, d.path("long/embedded"))
	compareTree(t, want, d.path("long@"+digest.SHA512.FromBytes(doc).String()))
	wantFile(t, d.path("long/artifact/file.txt"), text.data)
	if _, err := os.Stat(d.path("long@" + digest.SHA512.FromString("other").String())); !errors.Is(err, syscall.EIO) {
		t.Errorf("a manifest that is not that of its sha512: got %v, want EIO", err)
	}
}

// TestSchema1IsADirectoryOfErrors: such manifests are signed, and their digest is
// not that of their bytes.
func TestSchema1IsADirectoryOfErrors(t *testing.T) {
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v2/old/tags/list":
			_, _ = w.Write([]byte(`{"name":"old","tags":["v1"]}`))
			return
		case !strings.HasPrefix(r.URL.Path, "/v2/old/manifests/"):
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
		w.Header().Set("Docker-Content-Digest", digest.FromString("the payload").String())
		_, _ = w.Write([]byte(`{"schemaVersion":1,"name":"old","tag":"v1","fsLayers":[],"history":[],"signatures":[]}`))
	}))
	defer old.Close()
	d := mount(t, strings.TrimPrefix(old.URL, "http://"))
	if info, err := os.Stat(d.path("old/v1")); err != nil || !info.IsDir() {
		t.Errorf("got %v, want a directory", err)
	}
	if _, err := os.ReadDir(d.path("old/v1")); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want EIO", err)
	}
	if got := d.tagStatus(t, "old", "v1").Problem; !strings.Contains(got, "schema version 1") {
		t.Errorf("the status says %q", got)
	}
}

// TestBytesOfAnUnverifiedLayerAreNotHandedOut: a layer whose bytes are not those
// of its digest shows nothing, though each file in it is what it says, and
// though the same file is served from elsewhere.
func TestBytesOfAnUnverifiedLayerAreNotHandedOut(t *testing.T) {
	reg := startRegistry(t)
	shared := noise(11, 300_000)
	layers := map[string][]byte{
		"good":    site{"shared": shared, "own": []byte("good\n")}.tarGz(t),
		"damaged": site{"shared": shared, "own": []byte("evil\n"), "more": noise(12, 5<<20)}.tarGz(t),
	}
	for tag, layer := range layers {
		reg.putImage(t, "plain", tag, imageConfig(), ociPart{mediaType: gzipLayer, data: layer})
	}
	// The operating system's byte in the gzip header: nothing that unpacking sees.
	path := reg.blob(digest.FromBytes(layers["damaged"]).String())
	layers["damaged"][9] ^= 1
	must(t, os.WriteFile(path, layers["damaged"], 0o644))
	d := mount(t, reg.host)
	wantFile(t, d.path("plain/good/shared"), shared)
	for _, name := range []string{"shared", "own", "more"} {
		if text, err := os.ReadFile(d.path("plain/damaged", name)); err == nil {
			t.Errorf("%s of a layer that is damaged was read: %d bytes", name, len(text))
		}
	}
	wantFile(t, d.path("plain/good/own"), []byte("good\n"))
	found, err := filepath.Glob(filepath.Join(d.cache, "*", "*"))
	if must(t, err); len(found) == 0 {
		t.Error("nothing is in the cache")
	}
}
