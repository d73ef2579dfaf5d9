package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestTheExperimentsRequestsGetTheirAnswers asks what the documentation of the
// original experiment asks, of a registry that got v1 and v2.
func TestTheExperimentsRequestsGetTheirAnswers(t *testing.T) {
	reg := startRegistry(t)
	app := filepath.Join(root, "app")
	publishDir(t, app, reg.host, "my-app", "v1")
	publishDir(t, app, reg.host, "my-app", "v2")
	v2 := "http://" + reg.host + "/v2/"

	catalog := decode[struct{ Repositories []string }](t, fetchOK(t, v2+"_catalog"))
	if want := []string{"my-app"}; !slices.Equal(catalog.Repositories, want) {
		t.Errorf("catalog: got %q, want %q", catalog.Repositories, want)
	}
	list := decode[struct{ Tags []string }](t, fetchOK(t, v2+"my-app/tags/list"))
	slices.Sort(list.Tags)
	if want := []string{"v1", "v2"}; !slices.Equal(list.Tags, want) {
		t.Errorf("tags: got %q, want %q", list.Tags, want)
	}

	index := fetch(t, v2+"my-app/manifests/v1", "Accept", typeIndex)
	if got := index.header.Get("Content-Type"); got != typeIndex {
		t.Errorf("manifest by tag: got Content-Type %q, want %q", got, typeIndex)
	}
	first := decode[document](t, index.body).Manifests[0]
	if first.Platform != nil {
		t.Errorf("first entry: got platform %v, want none", *first.Platform)
	}
	manifest := reg.manifest(t, "my-app", first.Digest)
	if got := manifest.Config.MediaType; got != typeConfig {
		t.Errorf("config of the first entry: got %q, want %q", got, typeConfig)
	}
	config := decode[map[string]any](t, reg.read(t, "my-app", manifest.Config))
	if config["rootDir"] != "app" {
		t.Errorf("rootDir: got %q, want %q", config["rootDir"], "app")
	}
	if len(manifest.Layers) != 1 || manifest.Layers[0].MediaType != typeLayer {
		t.Fatalf("layers: got %v, want one of type %q", manifest.Layers, typeLayer)
	}
	unpacked := untar(t, bytes.NewReader(reg.read(t, "my-app", manifest.Layers[0])), "--gzip")
	compareTree(t, app, filepath.Join(unpacked, "app"))
}

// TestIndexEntriesCarryTheirDocuments: one request resolves a tag, because the
// descriptors hold what they describe.
func TestIndexEntriesCarryTheirDocuments(t *testing.T) {
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "my-app", "v1")
	index := reg.manifest(t, "my-app", "v1")
	artifact := index.Manifests[0]
	if want := fetchOK(t, fmt.Sprintf("http://%s/v2/my-app/manifests/%s", reg.host, artifact.Digest), "Accept", typeManifest); !bytes.Equal(artifact.Data, want) {
		t.Errorf("data of the artifact's descriptor: got %q, want %q", artifact.Data, want)
	}
	config := decode[document](t, artifact.Data).Config
	if want := reg.read(t, "my-app", config); !bytes.Equal(config.Data, want) {
		t.Errorf("data of the config's descriptor: got %q, want %q", config.Data, want)
	}
}

// TestASecondUploadSendsNoBlob: what the registry has is not sent again.
func TestASecondUploadSendsNoBlob(t *testing.T) {
	reg := startRegistry(t)
	relay := startRelay(t, reg.host)
	images := bundle(t, smallSite().write(t), "v1")
	first := upload(t, images, relay.host, "my-app", "v1")
	mark := relay.mark()
	if second := upload(t, images, relay.host, "my-app", "v1"); second != first {
		t.Errorf("second upload: got %s, want %s", second, first)
	}
	for _, q := range relay.since(mark, "blobs") {
		if q.method != "HEAD" {
			t.Errorf("second upload: got %s %s, want no more than HEAD", q.method, q.path)
		}
	}
}

// untar unpacks a tar stream with GNU tar and gives the folder; flags say how
// it is compressed.
func untar(t testing.TB, stream io.Reader, flags ...string) string {
	t.Helper()
	need(t, "tar")
	dir := newDir(t)
	cmd := exec.Command("tar", append(flags, "-x", "-f", "-", "-C", dir)...)
	cmd.Stdin = stream
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, text)
	}
	return dir
}
