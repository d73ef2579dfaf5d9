package site

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

// maxDepth is how many indexes may lie inside each other.
const maxDepth = 4

// Options says what sites are made of.
type Options struct {
	Registry *registry.Client
	Store    *cache.Store
	// Platform is the one whose image is shown of an index with several.
	Platform manifest.Platform
	// MaxIndex is how many bytes of memory reading the names of one version may
	// take; 0 is tree.MaxIndex.
	MaxIndex int64
}

// Loader makes sites out of what a registry holds, and keeps their trees. All its
// sites share what is kept and what is under way.
type Loader struct {
	*contents
	platform manifest.Platform // for which images are wanted
	maxIndex int64
	large    chan struct{} // has one for each large index that is being read
	running  sync.WaitGroup
	keeping  sync.WaitGroup
}

// NewLoader makes a loader that works until ctx ends.
func NewLoader(ctx context.Context, o Options) *Loader {
	c := &contents{
		registry: o.Registry, store: o.Store, flights: &flights{ctx: ctx}, fetches: newFetches(ctx),
		health: &Health{now: time.Now}, wholeBlob: wholeBlob,
	}
	c.companions = newCompanions(c)
	l := &Loader{contents: c, platform: o.Platform, maxIndex: cmp.Or(o.MaxIndex, tree.MaxIndex), large: make(chan struct{}, largeAtOnce)}
	l.running.Go(func() { c.companions.run(ctx) })
	return l
}

// Wait waits, once the loader's context has ended, until nothing is under way
// and all that was made is kept.
func (l *Loader) Wait() {
	l.running.Wait()
	l.flights.wait()
	l.keeping.Wait()
}

// Health is what is known of whether the registry answers.
func (l *Loader) Health() *Health { return l.health }

// Do waits for the work named key, which it starts if it is not under way: see
// flights. Its names are shared with those of the loader's own work.
func (l *Loader) Do(ctx context.Context, key string, work func(context.Context) (any, error)) (any, error) {
	return l.flights.do(ctx, key, work)
}

// CompanionStats says how the making of companions is doing.
func (l *Loader) CompanionStats() CompanionStats { return l.companions.stats() }

// Load makes the site that a document of repo holds. An index is followed to
// the entry that is the site. Its errors may be passing ones: see IsBad.
func (l *Loader) Load(ctx context.Context, repo string, doc registry.Manifest) (*Site, error) {
	c, err := l.choose(ctx, repo, doc)
	if err != nil {
		return nil, err
	}
	return l.site(ctx, repo, c.doc)
}

// choice is the manifest that is the site.
type choice struct {
	doc      registry.Manifest
	manifest *v1.Manifest
	created  string // as the index around it says, if there is one
}

// choose follows a document to the manifest that is the site.
func (l *Loader) choose(ctx context.Context, repo string, doc registry.Manifest) (choice, error) {
	var created string
	for range maxDepth + 1 {
		parsed, err := manifest.Parse(doc.MediaType, doc.Bytes)
		if err != nil {
			return choice{}, malformed{fmt.Errorf("%s@%s: %w", repo, doc.Digest, err)}
		}
		if parsed.Manifest != nil {
			return choice{doc, parsed.Manifest, created}, nil
		}
		created = parsed.Index.Annotations[v1.AnnotationCreated]
		d, err := manifest.Choose(parsed.Index, l.platform)
		if err != nil {
			return choice{}, malformed{fmt.Errorf("%s@%s: %w", repo, doc.Digest, err)}
		}
		if doc, err = l.document(ctx, repo, d); err != nil {
			return choice{}, err
		}
	}
	return choice{}, malformed{fmt.Errorf("%s@%s: more than %d indexes inside each other: %w", repo, doc.Digest, maxDepth, manifest.ErrUnsupported)}
}

// document is the manifest or index that d names; most often d carries it.
func (l *Loader) document(ctx context.Context, repo string, d manifest.Descriptor) (registry.Manifest, error) {
	if data, ok := manifest.Embedded(d); ok {
		return registry.Manifest{MediaType: d.MediaType, Digest: d.Digest, Bytes: data}, nil
	}
	doc, err := l.registry.Manifest(ctx, repo, d.Digest.String())
	return doc, Promised(err)
}

// site makes the site of a manifest, from the kept tree if there is one.
func (l *Loader) site(ctx context.Context, repo string, doc registry.Manifest) (*Site, error) {
	if s, err := l.Kept(repo, doc.Digest); err == nil {
		return s, nil
	}
	parsed, err := manifest.Parse(doc.MediaType, doc.Bytes)
	if err != nil {
		return nil, malformed{fmt.Errorf("%s@%s: %w", repo, doc.Digest, err)}
	}
	m := parsed.Manifest
	config, err := l.config(ctx, repo, m.Config)
	if err != nil {
		return nil, err
	}
	r, err := newRecord(doc.Digest, m, config)
	if err != nil {
		return nil, malformed{fmt.Errorf("%s@%s: %w", repo, doc.Digest, err)}
	}
	t, err := l.tree(ctx, repo, m.Config, &r)
	if err != nil {
		giveBack()
		return nil, fmt.Errorf("%s@%s: %w", repo, doc.Digest, err)
	}
	s := newSite(l.contents, repo, r, t)
	if l.store != nil {
		l.keeping.Go(func() { l.keepBehind(s, r) })
	}
	return s, nil
}

// keepDelay is how long a new tree waits to be kept: whoever asked for it looks into
// it now, and squeezing and writing it would take a processor from that. Which
// version a tag has is written down a second later, too.
const keepDelay = 200 * time.Millisecond

// keepBehind keeps what a new site is made of. A document is on the disk when it is
// kept, for which nobody should wait.
func (l *Loader) keepBehind(s *Site, r record) {
	sleep(l.flights.ctx, keepDelay)
	s.isKept.Store(l.keep(s.repo, r, s.Tree))
	if s.Tree.Len() > manyNodes {
		debug.FreeOSMemory()
	}
}

// manyNodes is from how many nodes on the memory that making and keeping a tree took
// goes back to the machine at once: a daemon that has little else to do would hold
// it for minutes.
const manyNodes = 20_000

// muchHeap is from what heap on, in bytes, the memory of an attempt that failed
// goes back at once: a version with a million names is refused only at the last
// of them, and a daemon at rest has a few megabytes.
const muchHeap = 32 << 20

// giveBack returns memory that nothing uses any more, if there may be much.
func giveBack() {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(heap)
	if heap[0].Value.Uint64()+heap[1].Value.Uint64() > muchHeap {
		debug.FreeOSMemory()
	}
}

// config reads the configuration blob, if it is one that matters here.
func (l *Loader) config(ctx context.Context, repo string, d manifest.Descriptor) ([]byte, error) {
	if d.MediaType != manifest.MediaTypeConfig {
		return nil, nil
	}
	if data, ok := manifest.Embedded(d); ok {
		return data, nil
	}
	if d.Size > manifest.MaxConfigSize {
		return nil, fmt.Errorf("site configuration %s: %d bytes, more than %d", d.Digest, d.Size, manifest.MaxConfigSize)
	}
	body, err := l.registry.Blob(ctx, repo, d.Digest, d.Size)
	if err != nil {
		return nil, Promised(err)
	}
	defer body.Close()
	return io.ReadAll(body)
}
