package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ggcrlayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What the layout lacks and the registry has is no error: skopeo and crane
// leave out what they know to be there.
func TestPushOfASparseLayout(t *testing.T) {
	c := newClient(t, startRegistry(t, ""))
	dir := filepath.Join(t.TempDir(), "v1")
	want := writeLayout(t, dir)
	if _, err := c.Push(testContext(t), dir, "app", "v1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %q, %v", files, err)
	}
	for _, file := range files {
		if filepath.Base(file) != want.Encoded() {
			os.Remove(file)
		}
	}
	got, err := c.Push(testContext(t), dir, "app", "v2", PushOptions{})
	if err != nil || got.Digest != want {
		t.Errorf("got %s, %v, want %s", got.Digest, err, want)
	}
	_, err = c.Push(testContext(t), dir, "other", "v1", PushOptions{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "is neither in") {
		t.Errorf("to a registry without them: got %v, want fs.ErrNotExist", err)
	}
}

func TestWhatOfALayoutIsPushed(t *testing.T) {
	one, two := randomImage(t), randomImage(t)
	hash := func(image v1.Image) digest.Digest {
		d, _ := image.Digest()
		return digest.Digest(d.String())
	}
	for name, test := range map[string]struct {
		write func(t *testing.T, dir string)
		want  digest.Digest // "" is index.json
		err   string
	}{
		"one image without a name": {func(t *testing.T, dir string) { appendTo(t, dir, one) }, hash(one), ""},
		"one of another name":      {func(t *testing.T, dir string) { appendTo(t, dir, one, refName("x")) }, hash(one), ""},
		"the version of two": {func(t *testing.T, dir string) {
			appendTo(t, dir, one, refName("v0"))
			appendTo(t, dir, two, refName("v1"))
		}, hash(two), ""},
		"the version in full": {func(t *testing.T, dir string) {
			appendTo(t, dir, one, refName("localhost:5000/app:v0"))
			appendTo(t, dir, two, refName("localhost:5000/app:v1"))
		}, hash(two), ""},
		"several without names": {func(t *testing.T, dir string) {
			appendTo(t, dir, one)
			appendTo(t, dir, two)
		}, "", ""},
		"other names": {func(t *testing.T, dir string) {
			appendTo(t, dir, one, refName("v2"))
			appendTo(t, dir, two, refName("v3"))
		}, "", "holds v2, v3 and not v1"},
		"the name twice": {func(t *testing.T, dir string) {
			appendTo(t, dir, one, refName("v1"))
			appendTo(t, dir, two, refName("v1"))
		}, "", "not clear"},
		"nothing":   {func(t *testing.T, dir string) { ggcrlayout.Write(dir, empty.Index) }, "", "names no manifest"},
		"no layout": {func(t *testing.T, dir string) { os.MkdirAll(dir, 0o755) }, "", "not an OCI image layout"},
		"not JSON":  {func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "index.json"), "{") }, "", "unexpected end of JSON"},
		"wrong digest": {func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "index.json"), `{"manifests":[{"digest":"sha256:../../x"}]}`)
		}, "", "has the digest"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "v1")
			test.write(t, dir)
			root, data, err := layout{dir}.root("v1")
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got error %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := test.want
			if want == "" {
				index, _ := os.ReadFile(filepath.Join(dir, "index.json"))
				want = digest.FromBytes(index)
			}
			if got := digest.FromBytes(data); got != want || root.Digest != want {
				t.Errorf("got %s with the bytes of %s, want %s", root.Digest, got, want)
			}
		})
	}
}

// index.json of the original experiment holds manifests with its own
// configuration and no ref name; what is pushed is index.json.
func TestPushOfAnOriginalLayout(t *testing.T) {
	c := newClient(t, startRegistry(t, ""))
	dir := filepath.Join(t.TempDir(), "v1")
	add := func(content, mediaType string) ocispec.Descriptor {
		d := digest.FromString(content)
		writeFile(t, filepath.Join(dir, "blobs", "sha256", d.Encoded()), content)
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
	}
	var manifests []ocispec.Descriptor
	for _, layer := range []string{"one", "two", ""} {
		config := add(`{"rootDir": "app"}`, "application/vnd.alembic.app.config.v1+json")
		m, _ := json.MarshalIndent(ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2},
			MediaType: ocispec.MediaTypeImageManifest,
			Config:    config,
			Layers:    []ocispec.Descriptor{add(layer, ocispec.MediaTypeImageLayerGzip)},
		}, "", "   ")
		manifests = append(manifests, add(string(m), ocispec.MediaTypeImageManifest))
	}
	for i := range manifests {
		manifests[i].Platform = &ocispec.Platform{Architecture: "wasm", OS: "browser"}
	}
	index, _ := json.MarshalIndent(map[string]any{"schemaVersion": 2, "manifests": manifests}, "", " ")
	writeFile(t, filepath.Join(dir, "index.json"), string(index))
	writeFile(t, filepath.Join(dir, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)

	got, err := c.Push(testContext(t), dir, "app", "v1", PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest(testContext(t), "app", "v1")
	if err != nil || m.Digest != got.Digest || m.MediaType != ocispec.MediaTypeImageIndex || !bytes.Equal(m.Bytes, index) {
		t.Errorf("got %s, %s, %v, want index.json as an index", m.Digest, m.MediaType, err)
	}
	m, err = c.Manifest(testContext(t), "app", string(manifests[0].Digest))
	if err != nil || m.Digest != manifests[0].Digest {
		t.Errorf("got manifest %s, %v, want %s", m.Digest, err, manifests[0].Digest)
	}
}

// Layouts that other tools write are pushed as they are.
func TestPushOfLayoutsBySkopeo(t *testing.T) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed: apt-get install skopeo")
	}
	addr := startRegistry(t, "")
	c := newClient(t, addr)
	dir := filepath.Join(t.TempDir(), "v1")
	writeLayout(t, dir)
	if _, err := c.Push(testContext(t), dir, "app", "v1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(skopeo, append([]string{"--insecure-policy", "copy", "--all", "--src-tls-verify=false"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("skopeo: %v: %s", err, out)
		}
	}
	copied := filepath.Join(t.TempDir(), "copy")
	run("docker://"+addr+"/app:v1", "oci:"+copied+":v1")
	want := onlyEntry(t, copied) // skopeo compresses layers
	got, err := c.Push(testContext(t), copied, "copy", "v1", PushOptions{})
	if err != nil || got.Digest != want {
		t.Errorf("got %s, %v, want %s", got.Digest, err, want)
	}

	folder := filepath.Join(t.TempDir(), "folder") // layouts by skopeo never hold docker's manifests, its folders do
	run("--format=v2s2", "docker://"+addr+"/app:v1", "dir:"+folder)
	got, err = c.Push(testContext(t), layoutOfDir(t, folder), "docker", "v1", PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest(testContext(t), "docker", "v1")
	if err != nil || m.Digest != got.Digest || m.MediaType != dockerManifestList {
		t.Errorf("got %s %s, %v, want docker's list %s", m.MediaType, m.Digest, err, got.Digest)
	}
}

// onlyEntry is the digest of what a layout holds.
func onlyEntry(t *testing.T, dir string) digest.Digest {
	t.Helper()
	var index ocispec.Index
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err == nil {
		err = json.Unmarshal(data, &index)
	}
	if err != nil || len(index.Manifests) != 1 {
		t.Fatalf("index.json of %s: got %d entries, %v, want one", dir, len(index.Manifests), err)
	}
	return index.Manifests[0].Digest
}

// layoutOfDir makes a layout of what skopeo calls a dir: all in one folder.
func layoutOfDir(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "layout")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		d := digest.FromBytes(data)
		writeFile(t, filepath.Join(to, "blobs", "sha256", d.Encoded()), string(data))
		if f.Name() == "manifest.json" {
			list := ocispec.Descriptor{MediaType: dockerManifestList, Digest: d, Size: int64(len(data))}
			index, _ := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{list}})
			writeFile(t, filepath.Join(to, "index.json"), string(index))
		}
	}
	return to
}
