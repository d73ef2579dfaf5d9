package e2e

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestSkopeoAndUmociTakeWhatWasUploaded copies a site out of the registry, the
// image for this platform and everything, and unpacks it.
func TestSkopeoAndUmociTakeWhatWasUploaded(t *testing.T) {
	need(t, "skopeo", "umoci")
	reg := startRegistry(t)
	dir := smallSite().write(t)
	publishDir(t, dir, reg.host, "my-app", "v1")
	source := "docker://" + reg.host + "/my-app:v1"
	for name, flags := range map[string][]string{"one platform": nil, "all": {"--all"}} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(newDir(t), "layout")
			args := append([]string{"--insecure-policy", "copy", "--src-tls-verify=false"}, flags...)
			succeed(t, "", "skopeo", append(args, source, "oci:"+copied+":v1")...)
			if flags == nil { // umoci wants one image, not a choice
				compareTree(t, dir, filepath.Join(unpack(t, copied), "app"))
			}
		})
	}
}

// TestSkopeoTakesWhatBundleWrote reads images/VERSION as the layout that it is.
func TestSkopeoTakesWhatBundleWrote(t *testing.T) {
	need(t, "skopeo", "umoci")
	dir := smallSite().write(t)
	images := bundle(t, dir, "v1")
	copied := filepath.Join(newDir(t), "layout")
	succeed(t, "", "skopeo", "--insecure-policy", "copy", "oci:"+filepath.Join(images, "v1")+":v1", "oci:"+copied+":v1")
	compareTree(t, dir, filepath.Join(unpack(t, copied), "app"))
}

// TestSkopeosCopyUploads: upload takes a layout that others wrote. Skopeo writes
// the index anew, without the documents embedded in it; the entries stay.
func TestSkopeosCopyUploads(t *testing.T) {
	need(t, "skopeo")
	reg := startRegistry(t)
	images := bundle(t, smallSite().write(t), "v1")
	copied := newDir(t)
	succeed(t, "", "skopeo", "--insecure-policy", "copy", "--all", "oci:"+filepath.Join(images, "v1")+":v1", "oci:"+filepath.Join(copied, "v1"))
	upload(t, images, reg.host, "original", "v1")
	upload(t, copied, reg.host, "copy", "v1")
	want, got := reg.manifest(t, "original", "v1").Manifests, reg.manifest(t, "copy", "v1").Manifests
	if len(want) == 0 || !slices.EqualFunc(got, want, func(a, b descriptor) bool { return a.Digest == b.Digest }) {
		t.Errorf("entries of skopeo's copy: got %v, want %v", got, want)
	}
}

// unpack unpacks layout:v1 with umoci and gives the root of its files.
func unpack(t testing.TB, layout string) string {
	t.Helper()
	dir := filepath.Join(newDir(t), "bundle")
	succeed(t, "", "umoci", "unpack", "--image", layout+":v1", dir)
	return filepath.Join(dir, "rootfs")
}

// TestALayoutWithoutANameUploads: the layout of somebody's tool, with one plain
// image and no ref name in its index.
func TestALayoutWithoutANameUploads(t *testing.T) {
	reg := startRegistry(t)
	images := newDir(t)
	path, err := layout.Write(filepath.Join(images, "v1"), empty.Index)
	must(t, err)
	image := plainImage(t, smallSite().tarGz(t))
	must(t, path.AppendImage(image))
	want, err := image.Digest()
	must(t, err)
	if got := upload(t, images, reg.host, "plain", "v1"); got != want.String() {
		t.Errorf("got %s, want the image's own %s", got, want)
	}
}

// TestImageEntriesAreValidImages runs go-containerregistry's checks on the
// entries with a platform, and exports them as crane does: out of the layout
// that bundle wrote, and out of the registry.
func TestImageEntriesAreValidImages(t *testing.T) {
	reg := startRegistry(t)
	dir := smallSite().write(t)
	images := bundle(t, dir, "v1")
	upload(t, images, reg.host, "my-app", "v1")
	for name, index := range map[string]v1.ImageIndex{
		"layout":   layoutIndex(t, filepath.Join(images, "v1")),
		"registry": remoteIndex(t, reg.host+"/my-app:v1"),
	} {
		t.Run(name, func(t *testing.T) {
			entries := platformImages(t, index)
			if len(entries) != 2 {
				t.Errorf("got %d entries with a platform, want amd64 and arm64", len(entries))
			}
			for platform, image := range entries {
				if err := validate.Image(image); err != nil {
					t.Errorf("%s: %v", platform, err)
				}
				files := mutate.Extract(image)
				compareTree(t, dir, filepath.Join(untar(t, files), "app"))
				must(t, files.Close())
			}
		})
	}
}

func remoteIndex(t testing.TB, reference string) v1.ImageIndex {
	t.Helper()
	ref, err := name.ParseReference(reference)
	must(t, err)
	index, err := remote.Index(ref, remote.WithTransport(client.Transport), remote.WithContext(t.Context()))
	must(t, err)
	return index
}

// layoutIndex is the only index that a layout holds.
func layoutIndex(t testing.TB, dir string) v1.ImageIndex {
	t.Helper()
	top, err := layout.ImageIndexFromPath(dir)
	must(t, err)
	manifest, err := top.IndexManifest()
	must(t, err)
	if len(manifest.Manifests) != 1 {
		t.Fatalf("%s: got %d entries, want 1", dir, len(manifest.Manifests))
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	must(t, err)
	return index
}

// platformImages gives the images of an index by platform.
func platformImages(t testing.TB, index v1.ImageIndex) map[string]v1.Image {
	t.Helper()
	manifest, err := index.IndexManifest()
	must(t, err)
	images := make(map[string]v1.Image)
	for _, d := range manifest.Manifests {
		if d.Platform == nil {
			continue
		}
		image, err := index.Image(d.Digest)
		must(t, err)
		images[d.Platform.String()] = image
	}
	return images
}
