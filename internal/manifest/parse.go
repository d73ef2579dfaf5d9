package manifest

import (
	_ "crypto/sha512" // digests by sha384 and sha512, which go-digest names and does not link
	"encoding/json"
	"errors"
	"fmt"
	"runtime"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limits of what is looked at in one document.
const (
	maxEntries = 1000 // of an index
	maxLayers  = 128  // what container runtimes take at most is 127
)

// Docker's media types, which mean the same as those of OCI.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// ErrUnsupported means that a document is of a kind that holds no site.
var ErrUnsupported = errors.New("not something that can be mounted")

// Descriptor names a blob or document: media type, digest, size.
type Descriptor = v1.Descriptor

// Parsed is a parsed index or manifest; exactly one of the fields is set.
type Parsed struct {
	Index    *v1.Index
	Manifest *v1.Manifest
}

// document is the union of both, to tell them apart and to see when somebody
// mixed them (CVE-2021-41190).
type document struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []Descriptor `json:"manifests"`
	Config        *Descriptor  `json:"config"`
	Layers        []Descriptor `json:"layers"`
}

// Parse reads an index or a manifest, of OCI's or Docker's kind. mediaType is
// what the registry or the descriptor said, or "". Every digest in the result
// is well formed, every size is not negative.
func Parse(mediaType string, data []byte) (Parsed, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return Parsed{}, fmt.Errorf("manifest: %w", err)
	}
	if err := d.check(mediaType); err != nil {
		return Parsed{}, err
	}
	if d.isIndex(mediaType) {
		var x v1.Index
		err := json.Unmarshal(data, &x)
		return Parsed{Index: &x}, err
	}
	var m v1.Manifest
	err := json.Unmarshal(data, &m)
	return Parsed{Manifest: &m}, err
}

func (d *document) isIndex(mediaType string) bool {
	switch d.kind(mediaType) {
	case v1.MediaTypeImageIndex, dockerList:
		return true
	case v1.MediaTypeImageManifest, dockerManifest:
		return false
	}
	return d.Manifests != nil
}

// kind is the media type that counts: the document's own word first.
func (d *document) kind(mediaType string) string {
	if d.MediaType != "" {
		return d.MediaType
	}
	return mediaType
}

func (d *document) check(mediaType string) error {
	switch k := d.kind(mediaType); {
	case d.SchemaVersion != 2:
		return fmt.Errorf("manifest: schema version %d: %w", d.SchemaVersion, ErrUnsupported)
	case d.Manifests != nil && (d.Layers != nil || d.Config != nil):
		return fmt.Errorf("manifest: an index and a manifest in one document: %w", ErrUnsupported)
	case !d.isIndex(mediaType) && d.Config == nil:
		return fmt.Errorf("manifest: %q without a config: %w", k, ErrUnsupported)
	case len(d.Manifests) > maxEntries:
		return fmt.Errorf("manifest: index of %d entries, more than %d", len(d.Manifests), maxEntries)
	case len(d.Layers) > maxLayers:
		return fmt.Errorf("manifest: %d layers, more than %d", len(d.Layers), maxLayers)
	}
	all := append(append([]Descriptor{}, d.Manifests...), d.Layers...)
	if d.Config != nil {
		all = append(all, *d.Config)
	}
	for _, c := range all {
		if err := c.Digest.Validate(); err != nil {
			return fmt.Errorf("manifest: digest %.80q: %w", string(c.Digest), err)
		}
		if c.Size < 0 {
			return fmt.Errorf("manifest: %s: size %d", c.Digest, c.Size)
		}
	}
	return nil
}

// Choose picks the entry of an index that is the site: the artifact, then what
// has no platform, then this machine's architecture on Linux, then the first.
// Attestations, which claim an unknown platform, are never chosen.
func Choose(x *v1.Index) (Descriptor, error) {
	best, rank := Descriptor{}, 0
	for _, d := range x.Manifests {
		if r := rankEntry(d); r > rank {
			best, rank = d, r
		}
	}
	if rank == 0 {
		return best, fmt.Errorf("index without an entry for a site: %w", ErrUnsupported)
	}
	return best, nil
}

func rankEntry(d Descriptor) int {
	p := d.Platform
	switch {
	case d.ArtifactType == MediaTypeConfig:
		return 4
	case p == nil:
		return 3
	case p.OS == "unknown" || p.Architecture == "unknown":
		return 0
	case p.OS == "linux" && p.Architecture == runtime.GOARCH:
		return 2
	}
	return 1
}

// Embedded gives the bytes that a descriptor carries in its data field, if it
// carries any and they are what its digest says. Source: image-spec 1.1,
// descriptor.md.
func Embedded(d Descriptor) ([]byte, bool) {
	if len(d.Data) == 0 || int64(len(d.Data)) != d.Size {
		return nil, false
	}
	return d.Data, d.Digest.Algorithm().FromBytes(d.Data) == d.Digest
}

// ConfigOf is what the configuration blob of a manifest says about the site,
// as ParseConfig gives it. A configuration of another kind, such as a container
// image's, leaves all at its defaults: the whole layer is the site.
func ConfigOf(m *v1.Manifest, blob []byte) (Config, []Problem, error) {
	if m.Config.MediaType != MediaTypeConfig {
		return Config{RootDir: "."}, nil, nil
	}
	return ParseConfig(blob)
}

// TOC is where an eStargz layer's table of contents lies and what vouches for
// it, as far as the layer's annotations tell.
type TOC struct {
	Digest digest.Digest // "" if nothing vouches for a table
	Offset int64         // in the blob; 0 if only the footer knows
}

// TOCOf reads the annotations of a layer. Ones that make no sense count as
// absent.
func TOCOf(layer Descriptor) TOC {
	var t TOC
	d, err := digest.Parse(layer.Annotations[AnnotationTOCDigest])
	if err != nil {
		return t
	}
	t.Digest = d
	var off int64
	if n, err := fmt.Sscanf(layer.Annotations[AnnotationTOCOffset], "%d", &off); n == 1 && err == nil && off > 0 && off < layer.Size {
		t.Offset = off
	}
	return t
}
