package site

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"path"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

// What follows is for who wants to know of everything at once. Whoever asks has
// to see to it that the registry is not asked too often.

// Shown is a tag that was looked up.
type Shown struct {
	Repository, Tag string
	Digest          digest.Digest // what the registry says the tag is
	Manifest        digest.Digest // the manifest in it that is the site
	Checked         time.Time     // when the registry last said so; zero: not since the start
}

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

// Registry is HOST[:PORT] of the registry.
func (l *Live) Registry() string { return l.registry.Host() }

// Key tells apart what is kept of this namespace and of others: another registry
// or another platform, for which a tag may be another site.
func (l *Live) Key() string { return path.Base(l.memoryName()) }

// Allowed tells whether a repository of that name is shown, if there is one.
func (l *Live) Allowed(repo string) bool { return l.names.allowed(repo) }

// Unavailable tells whether an error says that nothing is known for the time
// being. That something is missing which a manifest names is known.
func Unavailable(err error) bool {
	return errors.Is(err, registry.ErrUnavailable) && !errors.Is(err, errBroken)
}

// Lists tells whether the registry lists its repositories.
func (l *Live) Lists() bool { return l.names.complete(catalogUsable) }

// Repositories are all that are known, sorted: those that the registry lists,
// those given by name, and those looked up. The list of the registry is at most
// as old as a refresh, if it has one and can be reached.
func (l *Live) Repositories(ctx context.Context) []string {
	if !l.names.complete(l.refresh) && l.loader.health.check() == nil {
		_ = l.readCatalog(ctx) // what is known from before does
	}
	return l.names.all()
}

// HasRepository asks for a repository that may be new. Its errors are those of
// Lookup.
func (l *Live) HasRepository(ctx context.Context, repo string) (bool, error) {
	return l.isRepository(ctx, repo)
}

// Shown gives the tags that were looked up, in any order.
func (l *Live) Shown() []Shown {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Shown, 0, len(l.tags))
	for r, t := range l.tags {
		all = append(all, Shown{r.repo, r.tag, t.top, t.chosen, t.checked})
	}
	return all
}

// Head asks what a tag names, by a request that costs no pull quota. Its errors
// are those of Lookup.
func (l *Live) Head(ctx context.Context, repo, tag string) (digest.Digest, error) {
	return asked(ctx, l, "digest of "+repo+":"+tag, func(ctx context.Context) (digest.Digest, error) {
		return l.registry.Head(ctx, repo, tag)
	})
}

// Describe reads the manifest that d, an index or a manifest, leads to, and of
// an image the configuration, which knows when it was made. No layer is read.
// Its errors are those of Lookup.
func (l *Live) Describe(ctx context.Context, repo string, d digest.Digest) (Description, error) {
	return asked(ctx, l, "description of "+repo+"@"+d.String(), func(ctx context.Context) (Description, error) {
		doc, err := l.registry.Manifest(ctx, repo, d.String())
		if err != nil {
			return Description{}, err
		}
		return l.loader.describe(ctx, repo, doc)
	})
}

// Tree is the tree of the site of a manifest. If it is not kept it is read from
// the registry when fetch is set, and is otherwise an fs.ErrNotExist.
func (l *Live) Tree(ctx context.Context, repo string, d digest.Digest, fetch bool) (*tree.Tree, error) {
	s, err := l.loader.kept(repo, d)
	if err == nil {
		return s.Tree, nil
	}
	if !fetch {
		return nil, err
	}
	return asked(ctx, l, "tree of "+repo+"@"+d.String(), func(ctx context.Context) (*tree.Tree, error) {
		doc, err := l.registry.Manifest(ctx, repo, d.String())
		if err != nil {
			return nil, err
		}
		s, err := l.loader.load(ctx, repo, doc)
		if err != nil {
			return nil, promised(err)
		}
		return s.Tree, nil
	})
}

// asked has a question asked once, however many want to know, unless the
// registry is known to be away.
func asked[T any](ctx context.Context, l *Live, key string, ask func(context.Context) (T, error)) (T, error) {
	v, err := l.loader.flights.do(ctx, key, func(ctx context.Context) (any, error) {
		if err := l.loader.health.check(); err != nil {
			return nil, err
		}
		v, err := ask(ctx)
		l.loader.health.note(err)
		return v, err
	})
	t, _ := v.(T)
	return t, err
}

// describe tells what a document tells of the site that it leads to.
func (l *loader) describe(ctx context.Context, repo string, doc registry.Manifest) (Description, error) {
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
func (l *loader) created(ctx context.Context, repo string, m *v1.Manifest, index string) time.Time {
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
func (l *loader) small(ctx context.Context, repo string, d manifest.Descriptor) ([]byte, error) {
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
