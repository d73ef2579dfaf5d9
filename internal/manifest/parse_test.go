package manifest

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func entry(arch, os, artifact string) Descriptor {
	d := Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: digest.FromString(arch + os + artifact), Size: 1, ArtifactType: artifact}
	if os != "" {
		d.Platform = &v1.Platform{OS: os, Architecture: arch}
	}
	return d
}

func TestChooseTakesTheSite(t *testing.T) {
	here := entry(runtime.GOARCH, "linux", "")
	other, bare := entry("s390x", "linux", ""), entry("", "", "")
	attestation, artifact := entry("unknown", "unknown", ""), entry("", "", MediaTypeConfig)
	v6, v7, windows := entry("arm", "linux", ""), entry("arm", "linux", ""), entry(runtime.GOARCH, "windows", "")
	v6.Platform.Variant, v7.Platform.Variant = "v6", "v7"
	v6.Digest, v7.Digest = digest.FromString("v6"), digest.FromString("v7")
	said := bare
	said.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	blob := bare
	blob.MediaType = "application/octet-stream"
	for _, c := range []struct {
		name    string
		want    string
		entries []Descriptor
		chosen  Descriptor
	}{
		{"artifact before all", "", []Descriptor{bare, here, artifact}, artifact},
		{"artifact before the platform", "linux/s390x", []Descriptor{other, artifact}, artifact},
		{"no platform before a platform", "", []Descriptor{here, bare, other}, bare},
		{"this machine", "", []Descriptor{other, windows, here}, here},
		{"the platform", "linux/s390x", []Descriptor{here, other}, other},
		{"the variant", "linux/arm/v7", []Descriptor{here, v6, v7}, v7},
		{"any variant", "linux/arm", []Descriptor{here, v6, v7}, v6},
		{"no such variant", "linux/arm/v8", []Descriptor{v6, v7, here}, v6},
		{"another system", "windows/" + runtime.GOARCH, []Descriptor{here, windows}, windows},
		{"the first, but no attestation", "", []Descriptor{attestation, said, other, v7}, other},
		{"no blob", "", []Descriptor{blob, other}, other},
		{"nothing to take", "", []Descriptor{attestation, blob, said}, Descriptor{}},
	} {
		want, err := ParsePlatform(c.want)
		if err != nil || want.String() != c.want {
			t.Errorf("%s: got platform %q, %v", c.name, want, err)
		}
		got, err := Choose(&v1.Index{Manifests: c.entries}, want)
		if got.Digest != c.chosen.Digest || (err != nil) != (c.chosen.Digest == "") {
			t.Errorf("%s: got %v, %v; want %v", c.name, got.Digest, err, c.chosen.Digest)
		}
	}
	for _, text := range []string{"linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/arm/", "Linux/amd64", "linux/a md64", "linux//v7"} {
		if p, err := ParsePlatform(text); err == nil {
			t.Errorf("%q was taken as %v", text, p)
		}
	}
}

func TestParseRefusesWhatIsNoSite(t *testing.T) {
	d := `{"mediaType":"x","digest":"` + digest.FromString("x").String() + `","size":1}`
	for _, c := range []struct{ name, doc string }{
		{"both kinds at once", `{"schemaVersion":2,"manifests":[` + d + `],"layers":[` + d + `]}`},
		{"schema 1", `{"schemaVersion":1}`},
		{"no config", `{"schemaVersion":2,"layers":[]}`},
		{"bad digest", `{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:../../x","size":1},"layers":[]}`},
		{"unknown algorithm", `{"schemaVersion":2,"config":{"mediaType":"x","digest":"md5:d41d8cd98f00b204e9800998ecf8427e","size":1},"layers":[]}`},
		{"negative size", `{"schemaVersion":2,"config":` + strings.Replace(d, `:1}`, `:-1}`, 1) + `,"layers":[]}`},
		{"too many layers", `{"schemaVersion":2,"config":` + d + `,"layers":[` + strings.Repeat(d+",", maxLayers) + d + `]}`},
		{"not JSON", `<html>`},
		{"a key twice", `{"schemaVersion":2,"config":` + d + `,"layers":[],"layers":[` + d + `]}`},
		{"a key twice, in another case", `{"schemaVersion":2,"config":` + d + `,"layers":[],"Layers":[` + d + `]}`},
		{"a key twice, with a long s", `{"schemaVersion":2,"config":` + d + `,"layers":[],"layerſ":[` + d + `]}`},
		{"a key twice inside", `{"schemaVersion":2,"config":` + strings.Replace(d, `"size"`, `"size":2,"size"`, 1) + `,"layers":[]}`},
		{"deep nesting", `{"schemaVersion":2,"config":` + d + `,"layers":[],"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`},
		{"two documents", `{"schemaVersion":2,"config":` + d + `,"layers":[]}{}`},
		{"a size of 1e999999", `{"schemaVersion":2,"config":` + strings.Replace(d, `:1}`, `:1e999999}`, 1) + `,"layers":[]}`},
		{"a huge size", `{"schemaVersion":2,"config":` + strings.Replace(d, `:1}`, `:99999999999999999999}`, 1) + `,"layers":[]}`},
	} {
		if _, err := Parse("", []byte(c.doc)); err == nil {
			t.Errorf("%s was taken", c.name)
		}
	}
}

func TestEmbeddedIsVerified(t *testing.T) {
	d := Descriptor{Digest: digest.FromString("hello"), Size: 5, Data: []byte("hello")}
	if got, ok := Embedded(d); !ok || string(got) != "hello" {
		t.Errorf("got %q, %v", got, ok)
	}
	d.Data = []byte("hellO")
	if got, ok := Embedded(d); ok {
		t.Errorf("wrong bytes %q were taken", got)
	}
}

func TestTOCOfIgnoresNonsense(t *testing.T) {
	good := digest.FromString("toc")
	for _, c := range []struct {
		digest, offset string
		want           TOC
	}{
		{good.String(), "100", TOC{Digest: good, Offset: 100}},
		{good.String(), "", TOC{Digest: good}},
		{good.String(), "5000", TOC{Digest: good}},
		{good.String(), "-1", TOC{Digest: good}},
		{good.String(), "100x", TOC{Digest: good}},
		{"sha256:xyz", "100", TOC{}},
	} {
		got := TOCOf(Descriptor{Size: 1000, Annotations: map[string]string{AnnotationTOCDigest: c.digest, AnnotationTOCOffset: c.offset}})
		if got != c.want {
			t.Errorf("%q %q: got %v, want %v", c.digest, c.offset, got, c.want)
		}
	}
}

func TestZstdTOCOfIgnoresNonsense(t *testing.T) {
	good := digest.FromString("toc")
	for _, c := range []struct {
		prefix, digest, position string
		want                     *ZstdTOC
	}{
		{zstdPrefixes[0], good.String(), "100:50:400:1", &ZstdTOC{good, 100, 50, 400}},
		{zstdPrefixes[1], good.String(), "100:900:400:1", &ZstdTOC{good, 100, 900, 400}},
		{zstdPrefixes[0], good.String(), "100:901:400:1", nil}, // past the end
		{zstdPrefixes[0], good.String(), "9223372036854775807:9223372036854775807:1:1", nil},
		{zstdPrefixes[0], good.String(), "100:50:400:2", nil}, // another kind of table
		{zstdPrefixes[0], good.String(), "100:50:400", nil},
		{zstdPrefixes[0], good.String(), "-100:50:400:1", nil},
		{zstdPrefixes[0], good.String(), "100:0:400:1", nil},
		{zstdPrefixes[0], good.String(), "", nil},
		{zstdPrefixes[0], "sha256:xyz", "100:50:400:1", nil},
	} {
		got := TOCOf(Descriptor{Size: 1000, Annotations: map[string]string{c.prefix + zstdChecksum: c.digest, c.prefix + zstdPosition: c.position}})
		if (got.Zstd == nil) != (c.want == nil) || got.Zstd != nil && *got.Zstd != *c.want {
			t.Errorf("%q %q: got %v, want %v", c.digest, c.position, got.Zstd, c.want)
		}
		if got.Vouched() != (c.want != nil) {
			t.Errorf("%q: vouched: %v", c.position, got.Vouched())
		}
	}
}

// TestContentIsWhatTheTypesAndTitlesSay goes through what is found in
// registries.
func TestContentIsWhatTheTypesAndTitlesSay(t *testing.T) {
	const (
		rootfs    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
		container = "application/vnd.docker.container.image.v1+json"
		helm      = "application/vnd.cncf.helm.config.v1+json"
		unknown   = "application/vnd.unknown.config.v1+json"
	)
	for _, c := range []struct {
		name, config, layer string
		annotations         []string
		want                Content
	}{
		{"a site", MediaTypeConfig, v1.MediaTypeImageLayerGzip, nil, Content{Kind: Archive}},
		{"a site with a title", MediaTypeConfig, v1.MediaTypeImageLayerGzip, []string{"app.tgz"}, Content{Kind: Archive}},
		{"a site of another type", MediaTypeConfig, "application/x.tar", nil, Content{Kind: Archive}},
		{"an image", v1.MediaTypeImageConfig, v1.MediaTypeImageLayerZstd, nil, Content{Kind: Archive}},
		{"an image of docker", container, rootfs, nil, Content{Kind: Archive}},
		{"an image with titles", container, rootfs, []string{"layer.tar"}, Content{Kind: Archive}},
		{"a chart", helm, "application/vnd.cncf.helm.chart.content.v1.tar+gzip", nil, Content{}},
		{"a signature", v1.MediaTypeImageConfig, "application/vnd.dev.cosign.simplesigning.v1+json", nil, Content{}},
		{"a file", unknown, "text/plain", []string{"docs/a.txt"}, Content{File, "docs/a.txt"}},
		{"a file as a layer", v1.MediaTypeEmptyJSON, v1.MediaTypeImageLayer, []string{"a.txt"}, Content{File, "a.txt"}},
		{"a folder", v1.MediaTypeEmptyJSON, v1.MediaTypeImageLayerGzip, []string{"docs", "true"}, Content{Folder, "docs"}},
		{"a folder that stays packed", unknown, v1.MediaTypeImageLayerGzip, []string{"docs", "false"}, Content{File, "docs"}},
		{"a layer without a title", unknown, v1.MediaTypeImageLayerGzip, nil, Content{Kind: Archive}},
		{"nothing", v1.MediaTypeEmptyJSON, v1.MediaTypeEmptyJSON, nil, Content{}},
	} {
		d := Descriptor{MediaType: c.layer, Annotations: map[string]string{}}
		for i, key := range []string{annotationTitle, annotationUnpack} {
			if i < len(c.annotations) {
				d.Annotations[key] = c.annotations[i]
			}
		}
		got, err := ContentOf(Descriptor{MediaType: c.config, Size: 100}, d)
		if err != nil || got != c.want {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	plain := Descriptor{MediaType: v1.MediaTypeImageLayer, Annotations: map[string]string{annotationTitle: "a.txt"}}
	if got, _ := ContentOf(Descriptor{MediaType: v1.MediaTypeImageConfig, Size: 2}, plain); got.Kind != File {
		t.Errorf("a file beside an empty configuration: got %v", got)
	}
	for name, d := range map[string]Descriptor{
		"foreign":          {MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
		"nondistributable": {MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"},
		"elsewhere":        {MediaType: rootfs, URLs: []string{"http://192.0.2.1/layer"}},
		"encrypted":        {MediaType: v1.MediaTypeImageLayerGzip + "+encrypted"},
	} {
		if _, err := ContentOf(Descriptor{MediaType: container, Size: 100}, d); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: got %v, want %v", name, err, ErrUnsupported)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("", []byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:x"}]}`))
	f.Add(v1.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{"digest":"`+digest.FromString("x").String()+`"},"layers":null}`))
	f.Fuzz(func(t *testing.T, mediaType string, data []byte) {
		d, err := Parse(mediaType, data)
		if err != nil {
			return
		}
		if (d.Index == nil) == (d.Manifest == nil) {
			t.Fatal("neither or both")
		}
		if d.Index != nil {
			if c, err := Choose(d.Index, Platform{}); err == nil {
				_ = c.Digest.Algorithm() // panics on a malformed digest
				Embedded(c)
			}
			return
		}
		for _, l := range d.Manifest.Layers {
			_ = l.Digest.Encoded()
			TOCOf(l)
			_, _ = ContentOf(d.Manifest.Config, l)
		}
		if _, _, err := ConfigOf(d.Manifest, data); err != nil && errors.Is(err, ErrUnsupported) {
			t.Error("a config is never unsupported")
		}
	})
}

func TestCountOfBelievesNoNonsense(t *testing.T) {
	for _, c := range []struct {
		files, bytes string
		n            int
		sum          int64
	}{
		{"12", "3456", 12, 3456}, {"0", "0", 0, 0}, {"", "", 0, 0}, {"12", "", 0, 0}, {"-1", "1", 0, 0},
		{"99999999999", "1", 0, 0}, {"1", "9223372036854775807", 0, 0}, {"1e3", "1", 0, 0},
	} {
		files, bytes := CountOf(Descriptor{Annotations: map[string]string{AnnotationFiles: c.files, AnnotationBytes: c.bytes}})
		if files != c.n || bytes != c.sum {
			t.Errorf("%q, %q: got %d files of %d bytes, want %d of %d", c.files, c.bytes, files, bytes, c.n, c.sum)
		}
	}
}
