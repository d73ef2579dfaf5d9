package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxDepth is how many indexes lie in each other: one is usual, two happen.
	maxDepth = 4
	// maxManifests and maxBlobs bound what one version is made of. The
	// largest public images have some fifty manifests and 127 layers each.
	maxManifests = 1000
	maxBlobs     = 20_000
)

// plan is what a version is made of, each thing once.
type plan struct {
	layout    layout
	manifests []*document // children before those that name them: the root is the last
	blobs     []ocispec.Descriptor
	seen      map[digest.Digest]bool
}

// document is a manifest or an index. The media type decides little, so that
// docker's manifests, images, artifacts and what comes after them are read
// alike: what is named under manifests are manifests, the rest are blobs.
type document struct {
	desc  ocispec.Descriptor
	bytes []byte // nil: not in the layout
	there bool   // in the registry, as a push finds out

	MediaType string               `json:"mediaType"`
	Manifests []ocispec.Descriptor `json:"manifests"`
	Config    *ocispec.Descriptor  `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Blobs     []ocispec.Descriptor `json:"blobs"` // of artifact manifests, which ORAS wrote for a while
}

// plan reads the manifests below root.
func (l layout) plan(root ocispec.Descriptor, data []byte) (*plan, error) {
	p := &plan{layout: l, seen: map[digest.Digest]bool{}}
	return p, p.addManifest(root, data, maxDepth)
}

func (p *plan) addManifest(desc ocispec.Descriptor, data []byte, depth int) error {
	if p.seen[desc.Digest] {
		return nil
	}
	p.seen[desc.Digest] = true
	doc := &document{desc: desc, bytes: data}
	if data != nil {
		if err := json.Unmarshal(data, doc); err != nil {
			return fmt.Errorf("%s: manifest %s: %w", p.layout.dir, desc.Digest, err)
		}
	}
	if len(doc.Manifests) > 0 && depth == 0 {
		return fmt.Errorf("%s: index %s: more than %d indexes in each other", p.layout.dir, desc.Digest, maxDepth)
	}
	for _, child := range doc.Manifests {
		if err := p.addChild(child, depth-1); err != nil {
			return err
		}
	}
	for _, blob := range doc.blobs() {
		if err := p.addBlob(blob); err != nil {
			return err
		}
	}
	if p.manifests = append(p.manifests, doc); len(p.manifests) > maxManifests {
		return fmt.Errorf("%s: more than %d manifests", p.layout.dir, maxManifests)
	}
	return nil
}

// addChild adds a manifest that an index names. Layouts may lack some: those
// of one platform out of many.
func (p *plan) addChild(desc ocispec.Descriptor, depth int) error {
	data, err := p.layout.manifest(desc)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return p.addManifest(desc, data, depth)
}

func (p *plan) addBlob(desc ocispec.Descriptor) error {
	if err := checkDescriptor(desc); err != nil {
		return fmt.Errorf("%s: %w", p.layout.dir, err)
	}
	if p.seen[desc.Digest] || stays(desc) {
		return nil
	}
	p.seen[desc.Digest] = true
	if p.blobs = append(p.blobs, desc); len(p.blobs) > maxBlobs {
		return fmt.Errorf("%s: more than %d blobs", p.layout.dir, maxBlobs)
	}
	return nil
}

func (d *document) blobs() []ocispec.Descriptor {
	var all []ocispec.Descriptor
	if d.Config != nil {
		all = append(all, *d.Config)
	}
	return append(append(all, d.Layers...), d.Blobs...)
}

// contentType is how the document is called when it is put.
func (d *document) contentType() string {
	switch {
	case d.MediaType != "":
		return d.MediaType
	case d.desc.MediaType != "":
		return d.desc.MediaType
	case d.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	}
	return ocispec.MediaTypeImageManifest
}

// stays reports whether a layer may not be distributed by registries: those
// have addresses of their own.
func stays(d ocispec.Descriptor) bool {
	return strings.Contains(d.MediaType, ".nondistributable.") || strings.Contains(d.MediaType, ".foreign.")
}
