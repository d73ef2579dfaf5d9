package manifest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var siteConfig = Config{RootDir: "app"}

func testSite() Site {
	return Site{
		Config:  siteConfig,
		Version: "v1",
		Title:   "my-app",
		Layer: Layer{
			Digest:    digest.FromString("blob"),
			Size:      4711,
			DiffID:    digest.FromString("tar"),
			TOCDigest: digest.FromString("toc"),
			TOCOffset: 4000,
		},
	}
}

func TestConfigHasTheDigestOfTheOriginalFormat(t *testing.T) {
	data, err := siteConfig.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = "sha256:57da3d5e6864dd20281f3e102267801094fcb2f8a77cefcc72f5307eb93acc5b"
	if got := digest.FromBytes(data).String(); got != want || len(data) != 83 {
		t.Errorf("got %q of %d bytes, want %q of 83 bytes", got, len(data), want)
	}
}

func TestArtifactHasTheDigestOfTheOriginalFormat(t *testing.T) {
	docs, err := ComposeArtifact(Site{
		Config:  siteConfig,
		Version: "v1",
		Layer:   Layer{Digest: "sha256:3b109fddb59f60ebdfd93843cae0a652db64425f1272770983dc7e3f2714fbc1", Size: 1275},
	})
	if err != nil {
		t.Fatal(err)
	}
	manifest := docs.Parts[len(docs.Parts)-1]
	const want = "sha256:396c6612ae36ea38b99e6d503c0084f35fce4017e85caf2d29d5431b56b72529"
	if got := manifest.Digest.String(); got != want || len(manifest.Data) != 581 {
		t.Errorf("got %q of %d bytes, want %q of 581 bytes:\n%s", got, len(manifest.Data), want, manifest.Data)
	}
}

func TestArtifactIndexHasOneEntryAndNothingEmbedded(t *testing.T) {
	docs, err := ComposeArtifact(testSite())
	if err != nil {
		t.Fatal(err)
	}
	index := composedIndex(t, docs)
	if got, want := len(index.Manifests), 1; got != want {
		t.Fatalf("got %d entries, want %d", got, want)
	}
	if index.Manifests[0].Data != nil || index.Manifests[0].Platform != nil {
		t.Errorf("got an entry with data or a platform: %s", docs.Index.Data)
	}
	m := composedManifest(t, docs, index.Manifests[0])
	if m.Config.Data != nil {
		t.Errorf("got embedded data %q, want none", m.Config.Data)
	}
	if got, want := m.Layers[0].Annotations[AnnotationTOCOffset], "4000"; got != want {
		t.Errorf("got TOC offset %q, want %q", got, want)
	}
}

func TestDualIndexEmbedsTheArtifactAndItsConfiguration(t *testing.T) {
	index, docs := composeDual(t, testSite())
	entry := index.Manifests[0]
	if entry.Platform != nil {
		t.Errorf("got platform %v on the artifact, want none", entry.Platform)
	}
	if got, want := digest.FromBytes(entry.Data), entry.Digest; got != want {
		t.Errorf("got embedded manifest %q, want %q", got, want)
	}
	m := composedManifest(t, docs, entry)
	if got, want := m.Config.MediaType, MediaTypeConfig; got != want {
		t.Errorf("got config %q, want %q", got, want)
	}
	if got, want := digest.FromBytes(m.Config.Data), m.Config.Digest; got != want {
		t.Errorf("got embedded config %q, want %q", got, want)
	}
	if got, want := m.Annotations[AnnotationFormat], FormatVersion; got != want {
		t.Errorf("got %s %q, want %q", AnnotationFormat, got, want)
	}
}

func TestDualIndexHasAnImageForEachPlatform(t *testing.T) {
	site := testSite()
	index, docs := composeDual(t, site)
	for i, want := range Platforms {
		entry := index.Manifests[i+1]
		if entry.Platform == nil || entry.Platform.Architecture != want.Architecture || entry.Platform.OS != want.OS {
			t.Errorf("got platform %v, want %v", entry.Platform, want)
		}
		m := composedManifest(t, docs, entry)
		if m.ArtifactType != "" {
			t.Errorf("got artifact type %q on an image, want none", m.ArtifactType)
		}
		var c ocispec.Image
		decode(t, docs, m.Config, &c)
		if got, want := c.RootFS.DiffIDs, []digest.Digest{site.Layer.DiffID}; !slices.Equal(got, want) {
			t.Errorf("got diff ids %q, want %q", got, want)
		}
		if c.Architecture != want.Architecture || c.OS != want.OS || c.Created != nil {
			t.Errorf("got %s/%s created %v, want %v and no time", c.OS, c.Architecture, c.Created, want)
		}
	}
}

func TestEveryEntryHasTheSameLayer(t *testing.T) {
	site := testSite()
	index, docs := composeDual(t, site)
	for _, entry := range index.Manifests {
		m := composedManifest(t, docs, entry)
		if len(m.Layers) != 1 || m.Layers[0].Digest != site.Layer.Digest || m.Layers[0].Size != site.Layer.Size {
			t.Errorf("got layers %v, want %q alone", m.Layers, site.Layer.Digest)
		}
		if got, want := m.Layers[0].Annotations[AnnotationTOCDigest], site.Layer.TOCDigest.String(); got != want {
			t.Errorf("got TOC digest %q, want %q", got, want)
		}
	}
}

func TestDualIsTheSameUnderAnyVersion(t *testing.T) {
	v1, v2 := testSite(), testSite()
	v2.Version = "v2"
	_, a := composeDual(t, v1)
	_, b := composeDual(t, v2)
	if got, want := b.Index.Digest, a.Index.Digest; got != want {
		t.Errorf("got %q for v2, want %q as for v1", got, want)
	}
}

func TestCreatedAndAnnotationsAreOnIndexAndManifests(t *testing.T) {
	site := testSite()
	site.Created = time.Date(2024, 2, 3, 5, 5, 6, 0, time.FixedZone("", 3600))
	site.Annotations = map[string]string{"com.example.build": "<7>"}
	index, docs := composeDual(t, site)
	all := []map[string]string{index.Annotations}
	for _, entry := range index.Manifests {
		all = append(all, composedManifest(t, docs, entry).Annotations)
	}
	for i, a := range all {
		for k, want := range map[string]string{
			ocispec.AnnotationCreated: "2024-02-03T04:05:06Z",
			ocispec.AnnotationTitle:   "my-app",
			"com.example.build":       "<7>",
		} {
			if got := a[k]; got != want {
				t.Errorf("document %d: got %s %q, want %q", i, k, got, want)
			}
		}
	}
	var c ocispec.Image
	decode(t, docs, composedManifest(t, docs, index.Manifests[1]).Config, &c)
	if c.Created == nil || !c.Created.Equal(site.Created) {
		t.Errorf("got created %v in the image configuration, want %v", c.Created, site.Created)
	}
}

func TestLayoutIndexNamesTheVersion(t *testing.T) {
	_, docs := composeDual(t, testSite())
	data, err := docs.LayoutIndex("v1")
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != docs.Index.Digest {
		t.Fatalf("got %s, want %q alone", data, docs.Index.Digest)
	}
	if got, want := index.Manifests[0].Annotations[ocispec.AnnotationRefName], "v1"; got != want {
		t.Errorf("got ref name %q, want %q", got, want)
	}
}

func composeDual(t *testing.T, s Site) (ocispec.Index, Composed) {
	t.Helper()
	docs, err := ComposeDual(s)
	if err != nil {
		t.Fatal(err)
	}
	index := composedIndex(t, docs)
	if got, want := len(index.Manifests), 1+len(Platforms); got != want {
		t.Fatalf("got %d entries, want %d", got, want)
	}
	return index, docs
}

func composedIndex(t *testing.T, docs Composed) ocispec.Index {
	t.Helper()
	var index ocispec.Index
	if err := json.Unmarshal(docs.Index.Data, &index); err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(string(docs.Index.Data), "\n") {
		t.Error("got a line end after the index, want none")
	}
	return index
}

func composedManifest(t *testing.T, docs Composed, d ocispec.Descriptor) ocispec.Manifest {
	t.Helper()
	var m ocispec.Manifest
	decode(t, docs, d, &m)
	return m
}

// decode finds what d describes among docs and decodes it.
func decode(t *testing.T, docs Composed, d ocispec.Descriptor, v any) {
	t.Helper()
	i := slices.IndexFunc(docs.Parts, func(p Blob) bool { return p.Digest == d.Digest })
	if i < 0 {
		t.Fatalf("no document %q", d.Digest)
	}
	if p := docs.Parts[i]; p.MediaType != d.MediaType || int64(len(p.Data)) != d.Size {
		t.Errorf("got %s of %d bytes, described as %s of %d", p.MediaType, len(p.Data), d.MediaType, d.Size)
	}
	if err := json.Unmarshal(docs.Parts[i].Data, v); err != nil {
		t.Fatal(err)
	}
}
