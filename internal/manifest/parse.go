package manifest

import (
	_ "crypto/sha512" // digests by sha384 and sha512, which go-digest names and does not link
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limits of what is looked at in one document.
const (
	maxEntries = 1000   // of an index
	maxLayers  = 10_000 // of a manifest; an artifact has one for each of its files
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
	if err := errors.Join(checkJSON(data), json.Unmarshal(data, &d)); err != nil {
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
	if k := d.kind(mediaType); isDocument(k) {
		return k == v1.MediaTypeImageIndex || k == dockerList
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

// CountOf is the number of files in a layer and their bytes, as its annotations
// have it: 0 when they do not, or make no sense.
func CountOf(layer Descriptor) (files int, bytes int64) {
	n, err := strconv.ParseUint(layer.Annotations[AnnotationFiles], 10, 31)
	b, bytesErr := strconv.ParseUint(layer.Annotations[AnnotationBytes], 10, 62)
	if err != nil || bytesErr != nil {
		return 0, 0
	}
	return int(n), int64(b)
}
