package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Platforms are those of the image entries of a dual index: the files of a
// site run nowhere, but engines refuse an image without theirs.
var Platforms = []Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}

// Platform is what an image entry of an index is for.
type Platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"` // of the architecture; "" is any
}

// Layer is what the documents say of a site's layer.
type Layer struct {
	Digest    digest.Digest
	Size      int64         // bytes of the blob
	DiffID    digest.Digest // of the uncompressed tar
	TOCDigest digest.Digest // "" when the layer is not an eStargz
	TOCOffset int64         // bytes into the blob; 0 when the layer is not an eStargz
	Files     int           // regular files; 0 leaves it out
	Bytes     int64         // what they have together
}

// Site is what the documents of one version are composed of.
type Site struct {
	Config      Config
	Layer       Layer
	Version     string            // the tag; only the original format says it in the manifest
	Title       string            // org.opencontainers.image.title; "" leaves it out
	Created     time.Time         // zero leaves it out
	Annotations map[string]string // further ones, of the index and of every manifest
}

// Blob is the bytes of one index, manifest or configuration.
type Blob struct {
	MediaType string
	Digest    digest.Digest
	Data      []byte
}

// Composed is what was composed: all of a version but its layer.
type Composed struct {
	Index Blob
	Parts []Blob // what the index leads to, each after what it refers to
}

// descriptor has the key order of go-containerregistry's, by which the digests
// of the original format came to be.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Size        int64             `json:"size"`
	Digest      digest.Digest     `json:"digest"`
	Data        []byte            `json:"data,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *Platform         `json:"platform,omitempty"`
}

type manifestJSON struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type indexJSON struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Manifests     []descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// imageConfig is the least that engines accept: docker wants the platform,
// containerd the diff ids.
type imageConfig struct {
	Created      string   `json:"created,omitempty"`
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	Config       struct{} `json:"config"`
	RootFS       rootFS   `json:"rootfs"`
}

type rootFS struct {
	Type    string          `json:"type"`
	DiffIDs []digest.Digest `json:"diff_ids"`
}

// ComposeDual composes an index that regfs resolves in one request and that
// container engines pull as an image: the artifact, embedded, then one image
// for each of Platforms over the same layer. The version is in none of them, so
// that the same site has the same digest under any tag.
func ComposeDual(s Site) (Composed, error) {
	var docs Composed
	annotations := s.annotations(s.titled())
	marked := s.annotations(s.titled(), map[string]string{AnnotationFormat: FormatVersion})
	artifact, err := s.artifact(&docs, true, marked)
	if err != nil {
		return Composed{}, err
	}
	entries := []descriptor{artifact}
	for _, p := range Platforms {
		image, err := s.image(&docs, p, annotations)
		if err != nil {
			return Composed{}, err
		}
		entries = append(entries, image)
	}
	err = docs.setIndex(entries, annotations)
	return docs, err
}

// ComposeArtifact composes the original shape: an index with the artifact's
// manifest alone, and nothing embedded.
func ComposeArtifact(s Site) (Composed, error) {
	var docs Composed
	artifact, err := s.artifact(&docs, false, s.annotations(map[string]string{
		AnnotationFormat:          FormatVersion,
		ocispec.AnnotationRefName: s.Version,
	}))
	if err != nil {
		return Composed{}, err
	}
	err = docs.setIndex([]descriptor{artifact}, s.annotations(s.titled()))
	return docs, err
}

// artifact adds the site's configuration and its manifest to docs. With embed
// each descriptor carries what it describes, so that who has the index needs
// no further request.
func (s Site) artifact(docs *Composed, embed bool, annotations map[string]string) (descriptor, error) {
	data, err := s.Config.Encode()
	if err != nil {
		return descriptor{}, fmt.Errorf("site configuration: %w", err)
	}
	config := docs.add(MediaTypeConfig, data)
	if embed {
		config.Data = data
	}
	return s.manifest(docs, config, embed, annotations)
}

// image adds the image of the site for p to docs.
func (s Site) image(docs *Composed, p Platform, annotations map[string]string) (descriptor, error) {
	data, err := encode(imageConfig{
		Created:      s.created(),
		Architecture: p.Architecture,
		OS:           p.OS,
		RootFS:       rootFS{Type: "layers", DiffIDs: []digest.Digest{s.Layer.DiffID}},
	})
	if err != nil {
		return descriptor{}, err
	}
	d, err := s.manifest(docs, docs.add(ocispec.MediaTypeImageConfig, data), false, annotations)
	d.Platform = &p
	return d, err
}

func (s Site) manifest(docs *Composed, config descriptor, embed bool, annotations map[string]string) (descriptor, error) {
	data, err := encode(manifestJSON{
		SchemaVersion: 2,
		MediaType:     ocispec.MediaTypeImageManifest,
		Config:        config,
		Layers:        []descriptor{s.Layer.descriptor()},
		Annotations:   annotations,
	})
	if err != nil {
		return descriptor{}, err
	}
	d := docs.add(ocispec.MediaTypeImageManifest, data)
	if embed {
		d.Data = data
	}
	return d, nil
}

func (l Layer) descriptor() descriptor {
	d := descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Size: l.Size, Digest: l.Digest}
	if l.TOCDigest != "" {
		d.Annotations = map[string]string{
			AnnotationTOCDigest: l.TOCDigest.String(),
			AnnotationTOCOffset: strconv.FormatInt(l.TOCOffset, 10),
		}
	}
	if l.Files > 0 && d.Annotations != nil {
		d.Annotations[AnnotationFiles] = strconv.Itoa(l.Files)
		d.Annotations[AnnotationBytes] = strconv.FormatInt(l.Bytes, 10)
	}
	return d
}

// annotations are those of the site with those given.
func (s Site) annotations(given ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range append(given, s.Annotations) {
		maps.Copy(all, m)
	}
	if created := s.created(); created != "" {
		all[ocispec.AnnotationCreated] = created
	}
	return all
}

func (s Site) titled() map[string]string {
	if s.Title == "" {
		return nil
	}
	return map[string]string{ocispec.AnnotationTitle: s.Title}
}

func (s Site) created() string {
	if s.Created.IsZero() {
		return ""
	}
	return s.Created.UTC().Format(time.RFC3339)
}

// add keeps data as a document of docs and describes it.
func (docs *Composed) add(mediaType string, data []byte) descriptor {
	d := newBlob(mediaType, data)
	docs.Parts = append(docs.Parts, d)
	return d.descriptor()
}

func (docs *Composed) setIndex(entries []descriptor, annotations map[string]string) error {
	data, err := encode(indexJSON{
		SchemaVersion: 2,
		MediaType:     ocispec.MediaTypeImageIndex,
		Manifests:     entries,
		Annotations:   annotations,
	})
	docs.Index = newBlob(ocispec.MediaTypeImageIndex, data)
	return err
}

// LayoutIndex is the index.json of an OCI image layout that holds docs under
// the name version.
func (docs Composed) LayoutIndex(version string) ([]byte, error) {
	d := docs.Index.descriptor()
	d.Annotations = map[string]string{ocispec.AnnotationRefName: version}
	return encode(indexJSON{SchemaVersion: 2, MediaType: ocispec.MediaTypeImageIndex, Manifests: []descriptor{d}})
}

func newBlob(mediaType string, data []byte) Blob {
	return Blob{MediaType: mediaType, Digest: digest.FromBytes(data), Data: data}
}

func (d Blob) descriptor() descriptor {
	return descriptor{MediaType: d.MediaType, Size: int64(len(d.Data)), Digest: d.Digest}
}

// encode writes v as the original format writes its documents: indented by two
// spaces, with sorted annotations and no line end.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
