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
	for _, c := range []struct {
		name    string
		entries []Descriptor
		want    Descriptor
	}{
		{"artifact before all", []Descriptor{bare, here, artifact}, artifact},
		{"no platform before a platform", []Descriptor{here, bare, other}, bare},
		{"this machine", []Descriptor{other, here}, here},
		{"the first, but no attestation", []Descriptor{attestation, other}, other},
		{"nothing to take", []Descriptor{attestation}, Descriptor{}},
	} {
		got, err := Choose(&v1.Index{Manifests: c.entries})
		if got.Digest != c.want.Digest || (err != nil) != (c.want.Digest == "") {
			t.Errorf("%s: got %v, %v; want %v", c.name, got.Digest, err, c.want.Digest)
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
		{good.String(), "100", TOC{good, 100}},
		{good.String(), "", TOC{good, 0}},
		{good.String(), "5000", TOC{good, 0}},
		{good.String(), "-1", TOC{good, 0}},
		{"sha256:xyz", "100", TOC{}},
	} {
		got := TOCOf(Descriptor{Size: 1000, Annotations: map[string]string{AnnotationTOCDigest: c.digest, AnnotationTOCOffset: c.offset}})
		if got != c.want {
			t.Errorf("%q %q: got %v, want %v", c.digest, c.offset, got, c.want)
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
			if c, err := Choose(d.Index); err == nil {
				_ = c.Digest.Algorithm() // panics on a malformed digest
				Embedded(c)
			}
			return
		}
		for _, l := range d.Manifest.Layers {
			_ = l.Digest.Encoded()
			TOCOf(l)
		}
		if _, _, err := ConfigOf(d.Manifest, data); err != nil && errors.Is(err, ErrUnsupported) {
			t.Error("a config is never unsupported")
		}
	})
}
