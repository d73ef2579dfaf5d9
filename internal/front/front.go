package front

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/namespace"
	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/tree"
)

// Source tells what there is. The errors of its methods are fs.ErrNotExist and
// fs.ErrPermission when the registry said so, and others when nothing is known.
type Source interface {
	// Registry is its name.
	Registry() string
	// Key is part of the name under which what is known is kept: lower-case
	// letters and digits.
	Key() string
	// Allowed tells whether a repository of that name may be shown.
	Allowed(repo string) bool
	// Lists tells whether the registry lists its repositories. Those that do
	// not are large, public, and count what is read.
	Lists() bool
	// Repositories are all that are known, sorted.
	Repositories(ctx context.Context) []string
	// HasRepository asks for one that may be new; Repositories has it then.
	HasRepository(ctx context.Context, repo string) (bool, error)
	// Tags are those of a repository, sorted.
	Tags(ctx context.Context, repo string) ([]string, error)
	// Shown are the tags that are followed anyway: what is known of them costs
	// no request.
	Shown() []namespace.Shown
	// Head tells what a tag names.
	Head(ctx context.Context, repo, tag string) (digest.Digest, error)
	// Describe tells what a manifest alone knows of a version.
	Describe(ctx context.Context, repo string, d digest.Digest) (site.Description, error)
	// Tree is the tree of a site, by its manifest. Unless fetch is set it is
	// there only if it is kept.
	Tree(ctx context.Context, repo string, manifest digest.Digest, fetch bool) (*tree.Tree, error)
}

// Store keeps the list of sites between two lives of a daemon.
type Store interface {
	LoadDocument(name string) ([]byte, error)
	SaveDocument(name string, data []byte) error
}

// Front makes the documents. Its methods may be called by anyone at any time.
type Front struct {
	source  Source
	store   Store
	refresh time.Duration
	now     func() time.Time
	budget  *budget
	diffs   chan struct{} // a place for each comparison that may be under way

	index index
	wake  chan struct{} // holds one when somebody looked
	news  chan struct{} // holds one when there is news
	first chan struct{} // closed when all repositories have been listed once

	stop context.CancelFunc
	wait sync.WaitGroup
}

// New starts with what the store knows. The source is asked only after somebody
// looked, and at most once in a refresh.
func New(source Source, store Store, refresh time.Duration) *Front {
	ctx, stop := context.WithCancel(context.Background())
	f := &Front{
		source: source, store: store, refresh: refresh, now: time.Now, budget: &budget{now: time.Now},
		diffs: make(chan struct{}, diffsAtOnce),
		wake:  make(chan struct{}, 1), news: make(chan struct{}, 1), first: make(chan struct{}), stop: stop,
	}
	f.index.begin(source.Registry(), refresh)
	f.restore()
	f.wait.Go(func() { f.gather(ctx) })
	return f
}

// Close ends all work and keeps what is known.
func (f *Front) Close() {
	f.stop()
	f.wait.Wait()
	f.save()
}

//go:embed page
var page embed.FS

// pageFiles are the files of the page; with them it needs nothing but the
// documents here.
var pageFiles = []string{"diff.js", "dom.js", "front.css", "front.js", "index.html", "model.js", "theme.js", "view.js"}

// sitesName is the list of sites.
const sitesName = "sites.json"

// diffFolder holds the comparisons, <digest>..<digest>.json, which are made when
// they are looked up and never listed.
const diffFolder = "diff"

// Names lists the documents, without the comparisons.
func (f *Front) Names() []string { return append([]string{sitesName}, pageFiles...) }

// Folder tells whether a path is a folder of documents.
func (f *Front) Folder(path string) bool { return path == diffFolder }

// firstWait is how long the first who looks waits for the list of sites, so as
// not to see an empty page.
const firstWait = time.Second

// Document gives what is at a path right now, and whether that can never change.
// The error is an fs.ErrNotExist when there is no such document, and another
// when that is not known yet.
func (f *Front) Document(ctx context.Context, path string) (data []byte, fixed bool, err error) {
	if name, ok := strings.CutPrefix(path, diffFolder+"/"); ok {
		data, err := f.diff(ctx, name)
		return data, true, err
	}
	if path == sitesName {
		f.look(ctx)
		f.absorb()
		return f.index.bytes(f.now()), false, nil
	}
	for _, name := range pageFiles {
		if name == path {
			data, err := page.ReadFile("page/" + name)
			return data, true, err
		}
	}
	return nil, false, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
}

// look notes that somebody looks. It waits a little if nothing is known yet.
func (f *Front) look(ctx context.Context) {
	select {
	case f.wake <- struct{}{}:
	default: // it is known already
	}
	if f.index.known() {
		return
	}
	select {
	case <-f.first:
	case <-time.After(firstWait):
	case <-ctx.Done():
	}
}
