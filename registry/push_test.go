package registry

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ggcrlayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeLayout writes a layout as bundle does: index.json names one index of
// two images.
func writeLayout(t *testing.T, dir string) digest.Digest {
	t.Helper()
	return appendTo(t, dir, mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: ociImage(t)},
		mutate.IndexAddendum{Add: ociImage(t)},
	))
}

// ociImage is random, with two layers and media types that skopeo leaves alone.
func ociImage(t *testing.T) v1.Image {
	t.Helper()
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for range 2 {
		layer, err := random.Layer(3000, types.OCILayer)
		if err == nil {
			image, err = mutate.AppendLayers(image, layer)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return image
}

// appendTo makes a layout of index, or of an image.
func appendTo(t *testing.T, dir string, what any, opts ...ggcrlayout.Option) digest.Digest {
	t.Helper()
	p, err := ggcrlayout.FromPath(dir)
	if err != nil {
		p, err = ggcrlayout.Write(dir, empty.Index)
	}
	if err != nil {
		t.Fatal(err)
	}
	var d v1.Hash
	switch what := what.(type) {
	case v1.ImageIndex:
		err = p.AppendIndex(what, opts...)
		d, _ = what.Digest()
	case v1.Image:
		err = p.AppendImage(what, opts...)
		d, _ = what.Digest()
	}
	if err != nil {
		t.Fatal(err)
	}
	return digest.Digest(d.String())
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(2000, 2)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func refName(name string) ggcrlayout.Option {
	return ggcrlayout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: name})
}

func TestPushSendsOnlyWhatIsMissing(t *testing.T) {
	proxy := countRequests(t, startRegistry(t, ""))
	c := newClient(t, proxy.addr())
	dir := filepath.Join(t.TempDir(), "v1")
	want := writeLayout(t, dir)

	var last Progress
	got, err := c.Push(testContext(t), dir, "team/my-app", "v1", PushOptions{Report: func(p Progress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != want {
		t.Errorf("got digest %s, want %s", got.Digest, want)
	}
	if got.Blobs == 0 || got.Sent != got.Blobs || got.SentBytes != got.Bytes || got.SentManifests != 3 || last != got.Progress {
		t.Errorf("got %+v, last reported %+v, want all sent", got.Progress, last)
	}
	sent := proxy.take("PUT")
	if n := len(sent); n != got.Blobs+3 || sent[n-1] != "PUT /v2/team/my-app/manifests/v1" {
		t.Errorf("got %q, want %d blobs, two manifests and the tag last", sent, got.Blobs)
	}
	checkBlobsFirst(t, sent)

	got, err = c.Push(testContext(t), dir, "team/my-app", "v1", PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != want || got.There != got.Blobs || got.Sent != 0 || got.SentBytes != 0 || got.SentManifests != 0 {
		t.Errorf("the second time: got %+v, want all there", got)
	}
	if sent := proxy.take("PUT", "POST", "PATCH"); len(sent) != 0 {
		t.Errorf("the second time: got %q, want nothing sent", sent)
	}
}

func checkBlobsFirst(t *testing.T, puts []string) {
	t.Helper()
	manifests := false
	for _, put := range puts {
		switch isManifest := strings.Contains(put, "/manifests/"); {
		case isManifest:
			manifests = true
		case manifests:
			t.Errorf("a blob was sent after a manifest: %q", puts)
		}
	}
}

// Whatever request it is that fails, the tag names nothing or everything, and
// pushing again completes.
func TestInterruptedPushCompletes(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)))) // a real one takes seconds for this
	t.Cleanup(s.Close)
	addr := s.Listener.Addr().String()
	proxy := countRequests(t, addr)
	direct := newClient(t, addr)
	for broken := range 40 {
		dir := filepath.Join(t.TempDir(), "v1")
		want := writeLayout(t, dir)
		repo := "app-" + digest.FromString(dir).Encoded()[:12]
		n := 0
		proxy.mu.Lock()
		proxy.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
			proxy.mu.Lock()
			defer proxy.mu.Unlock()
			n++
			if n <= broken {
				return false
			}
			w.WriteHeader(http.StatusNotImplemented) // which is not retried
			return true
		}
		proxy.mu.Unlock()
		_, err := newClient(t, proxy.addr()).Push(testContext(t), dir, repo, "v1", PushOptions{})
		if err == nil {
			if broken < 5 {
				t.Errorf("after %d requests: got no error", broken)
			}
			return
		}
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("after %d requests: got %v, want ErrUnavailable", broken, err)
		}
		if _, err := direct.Head(testContext(t), repo, "v1"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after %d requests: the tag is there: %v", broken, err)
		}
		got, err := direct.Push(testContext(t), dir, repo, "v1", PushOptions{})
		if err != nil || got.Digest != want {
			t.Errorf("again after %d requests: got %s, %v, want %s", broken, got.Digest, err, want)
		}
	}
	t.Error("a push takes more than 40 requests")
}

func TestPushRetriesABlob(t *testing.T) {
	proxy := countRequests(t, startRegistry(t, ""))
	failed := map[string]bool{}
	proxy.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		proxy.mu.Lock()
		defer proxy.mu.Unlock()
		if r.Method != http.MethodPut || failed[r.URL.Path] || len(failed) == tries-1 {
			return false
		}
		failed[r.URL.Path] = true
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	dir := filepath.Join(t.TempDir(), "v1")
	want := writeLayout(t, dir)
	got, err := quick(newClient(t, proxy.addr())).Push(testContext(t), dir, "app", "v1", PushOptions{})
	if err != nil || got.Digest != want || got.SentBytes != got.Bytes {
		t.Errorf("got %+v, %v, want all of %s", got, err, want)
	}
}

// docker-registry misses a blob for a moment that somebody else sends again.
func TestPushBesideOthersTriesAManifestAgain(t *testing.T) {
	proxy := countRequests(t, startRegistry(t, ""))
	refused := 0
	proxy.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		proxy.mu.Lock()
		defer proxy.mu.Unlock()
		if r.Method != http.MethodPut || !strings.HasSuffix(r.URL.Path, "/manifests/v1") || refused == tries-1 {
			return false
		}
		refused++
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"errors": [{"code": "DIGEST_INVALID", "message": "x"}, {"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry"}]}`)
		return true
	}
	dir := filepath.Join(t.TempDir(), "v1")
	want := writeLayout(t, dir)
	got, err := quick(newClient(t, proxy.addr())).Push(testContext(t), dir, "app", "v1", PushOptions{})
	if err != nil || got.Digest != want || refused != tries-1 {
		t.Errorf("got %+v, %v after %d refusals, want %s", got, err, refused, want)
	}
}

func TestPushOfDamagedLayouts(t *testing.T) {
	addr := startRegistry(t, "")
	c := newClient(t, addr)
	for name, test := range map[string]struct {
		damage func(t *testing.T, file string)
		want   error
		text   string
	}{
		"flipped bit": {func(t *testing.T, file string) { flip(t, file) }, ErrMismatch, "does not have the digest"},
		"short":       {func(t *testing.T, file string) { os.Truncate(file, 10) }, ErrMismatch, "10 bytes, not"},
		"missing":     {func(t *testing.T, file string) { os.Remove(file) }, fs.ErrNotExist, "is neither in"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "v1")
			image := randomImage(t)
			appendTo(t, dir, image)
			layers, _ := image.Layers()
			h, _ := layers[1].Digest()
			file := filepath.Join(dir, "blobs", h.Algorithm, h.Hex)
			test.damage(t, file)
			_, err := c.Push(testContext(t), dir, "app", "v1", PushOptions{})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) || !strings.Contains(err.Error(), h.Hex) {
				t.Errorf("got %v, want %v with %q and the blob's name", err, test.want, test.text)
			}
			if _, err := c.Head(testContext(t), "app", "v1"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the tag is there: %v", err)
			}
		})
	}
}

func flip(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	writeFile(t, file, string(data))
}

func TestPushOfADamagedManifestNamesIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v1")
	d := writeLayout(t, dir)
	file := filepath.Join(dir, "blobs", "sha256", d.Encoded())
	flip(t, file)
	_, err := newClient(t, "localhost:1").Push(testContext(t), dir, "app", "v1", PushOptions{})
	if !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want ErrMismatch with %q", err, file)
	}
}

func TestPushToAPrivateRegistry(t *testing.T) {
	addr := privateRegistry(t)
	dir := filepath.Join(t.TempDir(), "v1")
	want := writeLayout(t, dir)
	_, err := newClient(t, addr).Push(testContext(t), dir, "app", "v1", PushOptions{})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "docker login "+addr) {
		t.Errorf("without credentials: got %v, want fs.ErrPermission and advice", err)
	}
	got, err := newClient(t, addr, as(testUser, testPassword)).Push(testContext(t), dir, "app", "v1", PushOptions{})
	if err != nil || got.Digest != want {
		t.Errorf("got %s, %v, want %s", got.Digest, err, want)
	}
}

func TestPushOfWrongNamesSendsNothing(t *testing.T) {
	proxy := countRequests(t, "localhost:1")
	c := newClient(t, proxy.addr())
	for _, name := range [][2]string{{"a/../b", "v1"}, {"app", ".."}, {"", "v1"}, {"app", ""}} {
		if _, err := c.Push(testContext(t), t.TempDir(), name[0], name[1], PushOptions{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: got %v, want fs.ErrNotExist", name, err)
		}
	}
	if got := proxy.take("GET", "HEAD", "POST", "PUT"); len(got) != 0 {
		t.Errorf("got requests %q, want none", got)
	}
}

func TestForeignLayersStay(t *testing.T) {
	p := &plan{seen: map[digest.Digest]bool{}}
	for _, mediaType := range []string{
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		ocispec.MediaTypeImageLayerGzip,
	} {
		if err := p.addBlob(ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(mediaType)}); err != nil {
			t.Fatal(err)
		}
	}
	got := slices.IndexFunc(p.blobs, func(d ocispec.Descriptor) bool { return d.MediaType == ocispec.MediaTypeImageLayerGzip })
	if len(p.blobs) != 1 || got != 0 {
		t.Errorf("got %v, want the one layer that may be distributed", p.blobs)
	}
}

// Indexes in each other end at a depth, whatever they say.
func TestNestedIndexesAreBounded(t *testing.T) {
	for depth, fine := range map[int]bool{1: true, maxDepth: true, maxDepth + 1: false, 50: false} {
		dir := t.TempDir()
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("{}"), Size: 2}
		writeFile(t, filepath.Join(dir, "blobs/sha256", desc.Digest.Encoded()), "{}")
		for range depth {
			data, _ := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{desc}})
			desc = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(data), Size: int64(len(data))}
			writeFile(t, filepath.Join(dir, "blobs/sha256", desc.Digest.Encoded()), string(data))
		}
		data, err := layout{dir}.manifest(desc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (layout{dir}).plan(desc, data); (err == nil) != fine {
			t.Errorf("depth %d: got %v, want success %v", depth, err, fine)
		}
	}
}

// quick makes a client's waits short.
func quick(c *Client) *Client {
	c.limits.retry /= 50
	return c
}
