package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// pushWorkers is how many blobs are looked up and sent at once, and how many
// manifests beside them: as docker's max-concurrent-uploads, rounded down.
const pushWorkers = 4

// Progress is how far a push is. Blobs are configurations and layers;
// manifests, which are small, are not counted.
type Progress struct {
	Blobs, There, Mounted, Sent                int   // in all; found in the repository; mounted from another; sent
	Bytes, ThereBytes, MountedBytes, SentBytes int64 // of these
	Manifests, SentManifests                   int
}

// Pushed is what became of a push.
type Pushed struct {
	Digest digest.Digest // of what the tag names now
	Progress
}

// PushOptions say how to push.
type PushOptions struct {
	// From is another repository of the registry that may have blobs already. They
	// are mounted from there where the registry allows it, and else sent.
	From string
	// Report is called often while Push runs, never twice at once.
	Report func(Progress)
}

// push is one push under way.
type push struct {
	*Client
	*plan
	repo, tag, from string

	mu       sync.Mutex // guards progress, and report is called under it
	progress Progress
	report   func(Progress)
}

// Push sends the version named tag of the OCI image layout in dir to repo:tag.
// It sends only what the registry lacks, blobs before the manifests that name
// them and the tag's manifest last, so that a tag never names what is not
// there; after an interruption it continues with what is missing. All that is
// sent is verified against its digest, and manifests keep their bytes.
//
// Errors:
//   - fs.ErrNotExist when dir is no layout or has no such version, when a blob
//     is neither in the layout nor in the registry, or when a repository or tag
//     is not valid.
//   - fs.ErrPermission on 401 and 403.
//   - ErrMismatch when a file of the layout does not have its digest or size;
//     the error names it.
//   - ErrUnavailable when the registry cannot be reached or does not take it.
func (c *Client) Push(ctx context.Context, dir, repo, tag string, o PushOptions) (Pushed, error) {
	err := errors.Join(checkRepository(repo), checkTag(tag))
	if o.From != "" {
		err = errors.Join(err, checkRepository(o.From))
	}
	if err != nil {
		return Pushed{}, err
	}
	l := layout{dir}
	root, data, err := l.root(tag)
	if err != nil {
		return Pushed{}, err
	}
	plan, err := l.plan(root, data)
	if err != nil {
		return Pushed{}, err
	}
	p := &push{Client: c, plan: plan, repo: repo, tag: tag, from: o.From, report: o.Report}
	p.count(func(n *Progress) {
		n.Blobs, n.Manifests = len(plan.blobs), len(plan.manifests)
		for _, b := range plan.blobs {
			n.Bytes += b.Size
		}
	})
	if err := p.sendBlobs(ctx); err != nil {
		return Pushed{Progress: p.progress}, err
	}
	err = p.sendManifests(ctx)
	return Pushed{Digest: root.Digest, Progress: p.progress}, err
}

// count changes the progress and reports it.
func (p *push) count(change func(*Progress)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.progress)
	if p.report != nil {
		p.report(p.progress)
	}
}

func (p *push) scope() scope { return scope{repository: p.repo, push: true} }

// sendBlobs sends the blobs, and meanwhile finds out which manifests are there.
// The two have workers of their own: what is a round trip for a manifest would
// wait for a slot behind a blob that takes three and its bytes.
func (p *push) sendBlobs(ctx context.Context) error {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return atOnce(ctx, p.plan.blobs, p.sendBlob) })
	both.Go(func() error { return atOnce(ctx, p.manifests, p.findManifest) })
	return both.Wait()
}

// atOnce calls do for each of what, several at once, until one fails.
func atOnce[T any](ctx context.Context, what []T, do func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pushWorkers)
	for _, one := range what {
		group.Go(func() error { return do(ctx, one) })
	}
	return group.Wait()
}

// findManifest finds out whether the registry has doc under its reference.
func (p *push) findManifest(ctx context.Context, doc *document) error {
	d, err := p.head(ctx, p.repo, p.reference(doc), p.scope())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Of one that the layout lacks it is enough that there is any.
	doc.there = err == nil && (d == doc.desc.Digest || doc.bytes == nil)
	return nil
}

// reference is what doc is sent by: the root by the tag, others by digest.
func (p *push) reference(doc *document) string {
	if doc == p.manifests[len(p.manifests)-1] {
		return p.tag
	}
	return string(doc.desc.Digest)
}

// sendManifests sends the manifests that are not there: those that name no other
// at once, then the indexes in their order, each after what it names. The root,
// which the tag names, is the last also when it is alone.
func (p *push) sendManifests(ctx context.Context) error {
	last := len(p.manifests) - 1
	leaves := slices.DeleteFunc(slices.Clone(p.manifests[:last]), func(doc *document) bool { return len(doc.Manifests) > 0 })
	if err := atOnce(ctx, leaves, p.sendManifest); err != nil {
		return err
	}
	for i, doc := range p.manifests {
		if i < last && len(doc.Manifests) == 0 {
			continue
		}
		if err := p.sendManifest(ctx, doc); err != nil {
			return err
		}
	}
	return nil
}

func (p *push) sendManifest(ctx context.Context, doc *document) error {
	switch {
	case doc.there:
		return nil
	case doc.bytes == nil:
		return fmt.Errorf("manifest %s is neither in %s nor in %s/%s: %w", doc.desc.Digest, p.layout.dir, p.name, p.repo, fs.ErrNotExist)
	}
	if err := p.put(ctx, doc, p.reference(doc)); err != nil {
		return err
	}
	p.count(func(n *Progress) { n.SentManifests++ })
	return nil
}

func (p *push) put(ctx context.Context, doc *document, reference string) error {
	r, _, err := manifestRequest(http.MethodPut, p.repo, reference)
	if err != nil {
		return err
	}
	r.scope = p.scope()
	r.header = http.Header{"Content-Type": {doc.contentType()}}
	r.want = []int{http.StatusCreated, http.StatusOK, http.StatusAccepted}
	r.size = int64(len(doc.bytes))
	r.body = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(doc.bytes)), nil }
	res, err := p.do(ctx, r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	d, err := p.announced(r, res)
	if err == nil && d != "" && d.Algorithm() == doc.desc.Digest.Algorithm() && d != doc.desc.Digest {
		return mismatch(p.what(r), "the registry took %s for %s", doc.desc.Digest, d)
	}
	return err
}
