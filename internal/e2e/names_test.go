package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// TestASiteHasItsNames: the tag as a folder, the spelled tag, the digest.
func TestASiteHasItsNames(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	digest := s.publish(t, reg.host, "team/docs/handbook", "v3")
	d := mount(t, reg.host)
	for _, name := range []string{
		"team/docs/handbook/v3",
		"team/docs/handbook:v3",
		"team/docs/handbook@v3",
		"team/docs/handbook@" + digest,
	} {
		wantFile(t, d.path(name, "index.html"), s["index.html"])
	}
	for folder, want := range map[string][]string{
		"":                   {"team"},
		"team":               {"docs"},
		"team/docs":          {"handbook"},
		"team/docs/handbook": {"v3"},
	} {
		if got := entries(t, d.path(folder)); !slices.Equal(got, want) {
			t.Errorf("entries of %q: got %q, want %q", folder, got, want)
		}
	}
}

// TestNoCatalogIsNeededForWhoKnowsTheName: the largest registries do not list
// their repositories. A name is found all the same; folders above repositories
// are those of --repo.
func TestNoCatalogIsNeededForWhoKnowsTheName(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	s.publish(t, reg.host, "team/docs/handbook", "v3")
	relay := startRelay(t, reg.host)
	relay.set(noCatalog)
	d := mount(t, relay.host)
	wantFile(t, d.path("my-app/v1/index.html"), s["index.html"])
	d = mount(t, relay.host, "--repo=team/docs/handbook")
	wantFile(t, d.path("team/docs/handbook/v3/index.html"), s["index.html"])
	if got, want := entries(t, d.path("team/docs/handbook")), []string{"v3"}; !slices.Equal(got, want) {
		t.Errorf("tags: got %q, want %q", got, want)
	}
}

// TestARepositoryWinsOverATag: where a/b is a repository and b a tag of a, a/b
// is the repository and a:b the tag.
func TestARepositoryWinsOverATag(t *testing.T) {
	reg := startRegistry(t)
	s, other := smallSite(), smallSite().with(site{"index.html": []byte("the repository's\n")})
	s.publish(t, reg.host, "a", "b")
	other.publish(t, reg.host, "a/b", "v1")
	d := mount(t, reg.host)
	wantFile(t, d.path("a/b/v1/index.html"), other["index.html"])
	wantFile(t, d.path("a:b/index.html"), s["index.html"])
}

// entries lists the names in a folder, in order.
func entries(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestTheOriginalFormatMounts bundles as the original experiment did: an index
// of one entry, with nothing embedded in it.
func TestTheOriginalFormatMounts(t *testing.T) {
	reg := startRegistry(t)
	dir := smallSite().write(t)
	upload(t, bundle(t, dir, "v1", "--format=artifact"), reg.host, "my-app", "v1")
	index := reg.manifest(t, "my-app", "v1")
	if len(index.Manifests) != 1 || index.Manifests[0].Data != nil {
		t.Fatalf("entries: got %v, want one without data", index.Manifests)
	}
	if got := reg.manifest(t, "my-app", index.Manifests[0].Digest).Config.MediaType; got != typeConfig {
		t.Errorf("config: got %q, want %q", got, typeConfig)
	}
	d := mount(t, reg.host)
	compareTree(t, dir, d.path("my-app/v1"))
}

// TestAPlainImageMounts appends a tar.gz to an empty image, as crane append
// does, and mounts it: no table of contents, no index, no configuration.
func TestAPlainImageMounts(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	push(t, reg.host+"/plain:v1", s.tarGz(t))
	d := mount(t, reg.host)
	compareTree(t, s.write(t), d.path("plain/v1"))
	compareTree(t, s.write(t), d.path("plain:v1"))
}

// TestLinksThatLeaveTheSiteAreMissing: nobody gets at the server's files, or at
// another site's, by a link in a layer.
func TestLinksThatLeaveTheSiteAreMissing(t *testing.T) {
	reg := startRegistry(t)
	s := site{"index.html": []byte("<h1>links</h1>\n"), "a/b.html": []byte("b\n")}
	links := map[string]string{
		"absolute":     "/etc/hostname",
		"up":           "../../../../../../etc/hostname",
		"a/up":         "../../other/v1/index.html",
		"by-way":       "a/../../v1/index.html",
		"good":         "a/b.html",
		"a/good":       "../index.html",
		"good-folder":  "a",
		"chain":        "absolute",
		"folder-chain": "a/up",
	}
	push(t, reg.host+"/links:v1", s.tarGz(t, links))
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	for _, link := range []string{"absolute", "up", "a/up", "by-way", "chain", "folder-chain"} {
		if _, err := os.ReadFile(d.path("links/v1", link)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want %v", link, err, os.ErrNotExist)
		}
		if a := fetch(t, web.url+"/links/v1/"+link); a.status != 404 {
			t.Errorf("%s through nginx: got %d %q, want 404", link, a.status, a.body)
		}
	}
	for link, want := range map[string]string{"good": "a/b.html", "a/good": "index.html", "good-folder/b.html": "a/b.html"} {
		wantFile(t, d.path("links/v1", link), s[want])
		if got := fetchOK(t, web.url+"/links/v1/"+link); !bytes.Equal(got, s[want]) {
			t.Errorf("%s through nginx: got %q, want %q", link, got, s[want])
		}
	}
}

// tarGz packs the site, and links, as anybody's tar would.
func (s site) tarGz(t testing.TB, links ...map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range s.names() {
		must(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(s[name]))}))
		_, err := w.Write(s[name])
		must(t, err)
	}
	for _, l := range links {
		for name, target := range l {
			must(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}))
		}
	}
	must(t, w.Close())
	must(t, z.Close())
	return b.Bytes()
}

// plainImage is an image of one layer, as crane append makes it.
func plainImage(t testing.TB, layer []byte) v1.Image {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer)), nil })
	must(t, err)
	image, err := mutate.AppendLayers(empty.Image, l)
	must(t, err)
	return image
}

// push pushes a plain image.
func push(t testing.TB, reference string, layer []byte) {
	t.Helper()
	ref, err := name.ParseReference(reference)
	must(t, err)
	must(t, remote.Write(ref, plainImage(t, layer), remote.WithTransport(client.Transport), remote.WithContext(t.Context())))
}
