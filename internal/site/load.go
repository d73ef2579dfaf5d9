package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"sync"

	"github.com/regfs/regfs/internal/layer"
	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

// maxDepth is how many indexes may lie inside each other.
const maxDepth = 4

// loader makes sites out of what a registry holds, and keeps their trees.
type loader struct {
	*contents
	keeping sync.WaitGroup
}

// load makes the site that a document of repo holds. An index is followed to
// the entry that is the site.
func (l *loader) load(ctx context.Context, repo string, doc registry.Manifest) (*Site, error) {
	for range maxDepth {
		parsed, err := manifest.Parse(doc.MediaType, doc.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s@%s: %w", repo, doc.Digest, err)
		}
		if parsed.Manifest != nil {
			return l.site(ctx, repo, doc)
		}
		d, err := manifest.Choose(parsed.Index)
		if err != nil {
			return nil, fmt.Errorf("%s@%s: %w", repo, doc.Digest, err)
		}
		if doc, err = l.document(ctx, repo, d); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s@%s: more than %d indexes inside each other: %w", repo, doc.Digest, maxDepth, manifest.ErrUnsupported)
}

// document is the manifest or index that d names; most often d carries it.
func (l *loader) document(ctx context.Context, repo string, d manifest.Descriptor) (registry.Manifest, error) {
	if data, ok := manifest.Embedded(d); ok {
		return registry.Manifest{MediaType: d.MediaType, Digest: d.Digest, Bytes: data}, nil
	}
	doc, err := l.registry.Manifest(ctx, repo, d.Digest.String())
	return doc, promised(err)
}

// site makes the site of a manifest, from the kept tree if there is one.
func (l *loader) site(ctx context.Context, repo string, doc registry.Manifest) (*Site, error) {
	if s, err := l.kept(repo, doc.Digest); err == nil {
		return s, nil
	}
	parsed, err := manifest.Parse(doc.MediaType, doc.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s@%s: %w", repo, doc.Digest, err)
	}
	m := parsed.Manifest
	config, err := l.config(ctx, repo, m.Config)
	if err != nil {
		return nil, err
	}
	r, err := newRecord(doc.Digest, m, config)
	if err != nil {
		return nil, fmt.Errorf("%s@%s: %w", repo, doc.Digest, err)
	}
	t, err := l.tree(ctx, repo, &r)
	if err != nil {
		return nil, fmt.Errorf("%s@%s: %w", repo, doc.Digest, err)
	}
	s := newSite(l.contents, repo, r, t)
	// A document is on the disk when it is kept, for which nobody should wait.
	l.keeping.Go(func() { s.isKept.Store(l.keep(r, t)) })
	return s, nil
}

// config reads the configuration blob, if it is one that matters here.
func (l *loader) config(ctx context.Context, repo string, d manifest.Descriptor) ([]byte, error) {
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
		return nil, promised(err)
	}
	defer body.Close()
	return io.ReadAll(body)
}

// tree merges the layers.
func (l *loader) tree(ctx context.Context, repo string, r *record) (*tree.Tree, error) {
	b := tree.NewBuilder()
	for i, d := range r.Layers {
		if err := checkLayer(d); err != nil {
			return nil, err
		}
		if err := l.layer(ctx, repo, b, i, d); err != nil {
			return nil, fmt.Errorf("layer %s: %w", d.Digest, err)
		}
	}
	t, dropped, err := b.Freeze(r.RootDir)
	if errors.Is(err, fs.ErrNotExist) {
		r.warn(fmt.Sprintf("its configuration says rootDir %q, which its layers do not have: all of them is shown", r.RootDir))
		r.RootDir = "."
		t, dropped, err = b.Freeze(r.RootDir)
	}
	if err != nil {
		return nil, err
	}
	for i, d := range dropped {
		if i == 10 {
			slog.Warn("links left out", "event", "link_escape", "repo", repo, "digest", r.Digest, "more", len(dropped)-i)
			break
		}
		slog.Warn("link left out: it leads out of the site or nowhere", "event", "link_escape",
			"repo", repo, "digest", r.Digest, "path", d.Path, "target", d.Target)
	}
	return t, nil
}

// checkLayer refuses layers whose bytes are not a layer's, or are elsewhere.
func checkLayer(d manifest.Descriptor) error {
	if len(d.URLs) > 0 || strings.Contains(d.MediaType, "foreign") || strings.Contains(d.MediaType, "nondistributable") {
		return fmt.Errorf("layer %s lies outside the registry, which is never followed: %w", d.Digest, manifest.ErrUnsupported)
	}
	if !strings.Contains(d.MediaType, ".tar") || strings.Contains(d.MediaType, "encrypted") {
		return fmt.Errorf("layer %s is %.100q and no tar archive: %w", d.Digest, d.MediaType, manifest.ErrUnsupported)
	}
	return nil
}

// layer adds one layer: by its table of contents if the manifest vouches for
// one, else by reading all of it.
func (l *loader) layer(ctx context.Context, repo string, b *tree.Builder, number int, d manifest.Descriptor) error {
	toc := manifest.TOCOf(d)
	if toc.Digest != "" {
		err := l.readTOC(ctx, repo, b, number, d, toc)
		if !errors.Is(err, layer.ErrNoTOC) {
			return err
		}
		slog.Info("table of contents cannot be used, reading the whole layer", "event", "no_toc",
			"repo", repo, "digest", d.Digest, "err", err)
	}
	body, err := l.registry.Blob(ctx, repo, d.Digest, d.Size)
	if err != nil {
		return promised(err)
	}
	defer body.Close()
	// Chunks are named by their own digest, so that keeping them before the
	// whole layer has been verified says nothing about the layer.
	return layer.Scan(b, number, d.Size, body, func(sum tree.Digest, data []byte) {
		if l.store == nil {
			return // only the tree is wanted: see ReadVersion
		}
		if err := l.store.PutVerified(sum, data); err != nil {
			slog.Warn("content is not kept", "event", "cache_full", "err", err)
		}
	})
}

// readTOC adds an eStargz layer by its table of contents.
func (l *loader) readTOC(ctx context.Context, repo string, b *tree.Builder, number int, d manifest.Descriptor, toc manifest.TOC) error {
	if d.Size <= layer.FooterSize {
		return layer.ErrNoTOC
	}
	end := d.Size - layer.FooterSize
	if toc.Offset == 0 {
		footer, err := l.bytes(ctx, repo, d, end, layer.FooterSize)
		if err != nil {
			return err
		}
		var length int64
		if toc.Offset, length, err = layer.ParseFooter(footer); err != nil {
			return err
		}
		end = d.Size - length
	}
	if toc.Offset >= end {
		return layer.ErrNoTOC
	}
	table, err := l.bytes(ctx, repo, d, toc.Offset, end-toc.Offset)
	if err != nil {
		return err
	}
	return layer.ReadTOC(b, number, toc.Offset, bytes.NewReader(table), toc.Digest)
}

// maxTable bounds a compressed table of contents in bytes: a million files at
// the hundred bytes that two digests and a name take at least.
const maxTable = 128 << 20

// bytes reads one range of a layer. A registry that sends the whole blob
// instead makes the caller read it whole by itself: ErrNoTOC.
func (l *loader) bytes(ctx context.Context, repo string, d manifest.Descriptor, off, n int64) ([]byte, error) {
	if n > maxTable {
		return nil, layer.ErrNoTOC
	}
	body, err := l.registry.Range(ctx, repo, d.Digest, d.Size, off, n)
	if err != nil {
		return nil, promised(err)
	}
	defer body.Close()
	if body.Offset != off || body.Length != n {
		return nil, fmt.Errorf("the registry does not serve ranges: %w", layer.ErrNoTOC)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, unavailable(err)
	}
	return data, nil
}
