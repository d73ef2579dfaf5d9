package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/compare"
	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/tree"
)

// Limits of a comparison that is shown: of how many files it tells the names,
// and how many bytes of names. The totals are exact whatever these are.
const (
	maxListed      = 1000
	maxListedBytes = 256 << 10
)

// diffsAtOnce bounds the trees that are in memory to be compared.
const diffsAtOnce = 2

// diff makes the comparison of a name, <digest>..<digest>.json. Only versions
// that the list of sites shows are compared.
func (f *Front) diff(ctx context.Context, name string) ([]byte, error) {
	from, to, err := parseDiff(name)
	if err != nil {
		return nil, err
	}
	select {
	case f.diffs <- struct{}{}:
		defer func() { <-f.diffs }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: waiting for other comparisons: %w", name, context.DeadlineExceeded)
	}
	old, d, err := f.tree(ctx, from)
	if err != nil {
		return nil, err
	}
	fresh, e, err := f.tree(ctx, to)
	if err != nil {
		return nil, err
	}
	doc := compare.Document{
		Version: compare.DocumentVersion,
		From:    compare.Side{Manifest: d.String()}, To: compare.Side{Manifest: e.String()},
		Result: shorten(compare.Trees(old, fresh, maxListed)),
	}
	data, err := json.Marshal(doc)
	return append(data, '\n'), err
}

// parseDiff reads the name of a comparison.
func parseDiff(name string) (from, to digest.Digest, err error) {
	a, b, ok := strings.Cut(strings.TrimSuffix(name, ".json"), "..")
	from, to = digest.Digest(a), digest.Digest(b)
	if !ok || from.Validate() != nil || to.Validate() != nil || name != a+".."+b+".json" {
		return "", "", fmt.Errorf("%.200q is not <digest>..<digest>.json: %w", name, fs.ErrNotExist)
	}
	return from, to, nil
}

// tree is that of a version, and its manifest.
func (f *Front) tree(ctx context.Context, d digest.Digest) (*tree.Tree, digest.Digest, error) {
	repo, manifest, ok := f.index.find(d)
	if !ok {
		return nil, "", fmt.Errorf("no tag shows %s: %w", d, fs.ErrNotExist)
	}
	t, err := f.source.Tree(ctx, repo, manifest, true)
	switch {
	case err == nil && f.index.uncounted(manifest):
		f.index.counted(manifest, compare.Contents(t))
	case err != nil && ctx.Err() == nil && !site.Unavailable(err) && !errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w: it can never be read: %v", fs.ErrNotExist, err)
	}
	return t, manifest, err
}

// shorten leaves out the names that are too much for a page.
func shorten(r compare.Result) compare.Result {
	total := 0
	for i, c := range r.Changes {
		if total += len(c.Path); total > maxListedBytes {
			r.Omitted += len(r.Changes) - i
			r.Changes = r.Changes[:i]
			break
		}
	}
	return r
}
