package site

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

// Version is what a reference names, without the contents of its files.
type Version struct {
	Digest   digest.Digest // of what the registry has under the reference
	Manifest digest.Digest // of the manifest in it that is the site
	Tree     *tree.Tree
	Warning  string // what is odd about it, for people
}

// maxOnce is how many bytes reading the names of a version may take that somebody
// asked for by name and looks at once: ten times what a daemon allows.
const maxOnce = 10 * tree.MaxIndex

// ReadVersion reads what reference, a tag or digest, names in a repository. It
// keeps nothing. Of layers with a table of contents it reads that alone, others
// it reads as a whole.
//
// Errors: those of registry.Client.Manifest, and manifest.ErrUnsupported for
// what cannot be shown as files.
func ReadVersion(ctx context.Context, client *registry.Client, repo, reference string) (Version, error) {
	doc, err := client.Manifest(ctx, repo, reference)
	if err != nil {
		return Version{}, err
	}
	l := &Loader{contents: &contents{registry: client}, maxIndex: maxOnce, large: make(chan struct{}, largeAtOnce)}
	s, err := l.Load(ctx, repo, doc)
	if err != nil {
		return Version{}, Promised(err)
	}
	return Version{Digest: doc.Digest, Manifest: s.Digest, Tree: s.Tree, Warning: s.Warning}, nil
}
