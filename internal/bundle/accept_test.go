package bundle

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/regfs/regfs/internal/manifest"
)

// Others' tools read what bundle writes.

func bundledSite(t *testing.T) (dir string, r Result) {
	t.Helper()
	dir = writeTree(t, "index.html", "css/site.css", "é/ü.txt", "latest -> css", "css/up -> ../index.html", "empty/",
		"long/"+strings.Repeat("n", 200)+"/"+strings.Repeat("m", 200))
	for name, content := range map[string][]byte{
		"large.bin": bytes.Repeat([]byte("0123456789abcdef\n"), 300_000), // more than one chunk
		"none":      nil,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, write(t, testOptions(t, dir))
}

// runTool runs a program that make test installs, and fails when it does.
func runTool(t *testing.T, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is not installed: make test installs it, or apt-get install %s", name, name)
	}
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func compareTrees(t *testing.T, got, want string) {
	t.Helper()
	g, w := snapshot(t, got), snapshot(t, want)
	if !maps.Equal(g, w) {
		t.Errorf("got %q in %s, want %q", g, got, w)
	}
}

func TestGNUTarUnpacksTheLayer(t *testing.T) {
	dir, r := bundledSite(t)
	blob := filepath.Join(r.Path, "blobs", "sha256", r.Layer.Digest.Encoded())
	into := t.TempDir()
	runTool(t, "tar", "-xzf", blob, "-C", into, rootDir)
	compareTrees(t, filepath.Join(into, rootDir), dir)
}

func TestSkopeoCopiesTheImageAndUmociUnpacksIt(t *testing.T) {
	dir, r := bundledSite(t)
	copied := filepath.Join(t.TempDir(), "copy")
	runTool(t, "skopeo", "--insecure-policy", "copy", "--quiet", "oci:"+r.Path+":v1", "oci:"+copied+":v1")
	into := filepath.Join(t.TempDir(), "unpacked")
	runTool(t, "umoci", "unpack", "--rootless", "--image", copied+":v1", into)
	compareTrees(t, filepath.Join(into, "rootfs", rootDir), dir)
}

// skopeo writes the index anew, without what is embedded; all that the index
// leads to stays as it is.
func TestSkopeoCopiesEverything(t *testing.T) {
	for _, format := range []Format{FormatDual, FormatArtifact} {
		o := testOptions(t, writeTree(t, "index.html"))
		o.Format = format
		r := write(t, o)
		copied := filepath.Join(t.TempDir(), "copy")
		runTool(t, "skopeo", "--insecure-policy", "copy", "--quiet", "--all", "oci:"+r.Path+":v1", "oci:"+copied+":v1")
		want := snapshot(t, filepath.Join(r.Path, "blobs", "sha256"))
		delete(want, r.Digest.Encoded())
		got := snapshot(t, filepath.Join(copied, "blobs", "sha256"))
		maps.DeleteFunc(got, func(name, _ string) bool { _, ok := want[name]; return !ok })
		if !maps.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", format, got, want)
		}
	}
}

func TestGoContainerRegistryAcceptsTheImages(t *testing.T) {
	_, r := bundledSite(t)
	root, err := layout.ImageIndexFromPath(r.Path)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := v1.NewHash(r.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	index, err := root.ImageIndex(hash)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var images []string
	for _, d := range m.Manifests {
		image, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if d.Platform == nil {
			checkIsArtifact(t, image)
			continue
		}
		images = append(images, d.Platform.String())
		if err := validate.Image(image); err != nil {
			t.Errorf("%s: %v", d.Platform, err)
		}
		if err := mutate.Extract(image).Close(); err != nil {
			t.Errorf("%s: %v", d.Platform, err)
		}
	}
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(images, want) {
		t.Errorf("got images for %q, want %q", images, want)
	}
}

func checkIsArtifact(t *testing.T, image v1.Image) {
	t.Helper()
	m, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(m.Config.MediaType), manifest.MediaTypeConfig; got != want {
		t.Errorf("got config %q in the entry without a platform, want %q", got, want)
	}
	config, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c, _, err := manifest.ParseConfig(config); err != nil || c.RootDir != rootDir {
		t.Errorf("got %v, %v, want the root folder %q", c, err, rootDir)
	}
}
