package site

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/registry"
)

// Description is what a manifest alone tells of a version.
type Description struct {
	Manifest digest.Digest // of the manifest that is the site
	Size     int64         // of its layers, compressed, in bytes
	Created  time.Time     // zero if it does not say
	Files    int           // regular files, as its packer counted them; 0 if it did not
	Bytes    int64         // what they have together
}

// maxImageConfig bounds the configuration of an image in bytes, of which only
// the time is of interest.
const maxImageConfig = 1 << 20

// mediaTypeDockerConfig is Docker's name for what OCI calls an image's
// configuration.
const mediaTypeDockerConfig = "application/vnd.docker.container.image.v1+json"

// Describe tells what a document tells of the site that it leads to.
func (l *Loader) Describe(ctx context.Context, repo string, doc registry.Manifest) (Description, error) {
	c, err := l.choose(ctx, repo, doc)
	if err != nil {
		return Description{}, err
	}
	d := Description{Manifest: c.doc.Digest, Created: l.created(ctx, repo, c.manifest, c.created)}
	for _, layer := range c.manifest.Layers {
		d.Size += layer.Size
	}
	if len(c.manifest.Layers) == 1 { // of several nobody knows what covers what
		d.Files, d.Bytes = manifest.CountOf(c.manifest.Layers[0])
	}
	return d, nil
}

// created is when a version was made: as its manifest says, or the index around
// it, or the configuration of an image.
func (l *Loader) created(ctx context.Context, repo string, m *v1.Manifest, index string) time.Time {
	for _, text := range []string{m.Annotations[v1.AnnotationCreated], index} {
		if t, err := time.Parse(time.RFC3339, text); err == nil && t.Unix() > 0 {
			return t.UTC()
		}
	}
	c := m.Config
	isImage := c.MediaType == v1.MediaTypeImageConfig || c.MediaType == mediaTypeDockerConfig
	if !isImage || c.Size > maxImageConfig {
		return time.Time{}
	}
	data, err := l.small(ctx, repo, c)
	var image struct {
		Created time.Time `json:"created"`
	}
	if err != nil || json.Unmarshal(data, &image) != nil || image.Created.Unix() <= 0 {
		return time.Time{} // nobody depends on it, and 1970 is no time that anything was made
	}
	return image.Created.UTC()
}

// small reads a blob of which somebody has seen that it is small.
func (l *Loader) small(ctx context.Context, repo string, d manifest.Descriptor) ([]byte, error) {
	if data, ok := manifest.Embedded(d); ok {
		return data, nil
	}
	body, err := l.registry.Blob(ctx, repo, d.Digest, d.Size)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}
