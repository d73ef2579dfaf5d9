package site

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/layer"
	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

// maxArchives is how many layers of a file system are put over each other:
// container runtimes take 127. Files of an artifact are not counted, since they
// need not be read.
const maxArchives = 128

// largeAtOnce is how many versions with a large index, of some 40,000 files and
// more, are read at the same time: each may take as much memory as an index may.
const largeAtOnce = 2

// merge puts layers over each other.
type merge struct {
	*Loader
	repo    string
	builder *tree.Builder
	titles  map[string]bool       // of the files of an artifact
	nothing []manifest.Descriptor // layers without files
	read    []*registry.Body      // what the layers were made of
	isLarge bool                  // it has one of the places of large ones
}

// tree merges the layers. What a mirror sent and makes no sense is asked for
// again, from the registry itself: one of the two is wrong.
func (l *Loader) tree(ctx context.Context, repo string, config manifest.Descriptor, r *record) (*tree.Tree, error) {
	m := l.newMerge(repo)
	t, err := m.tree(ctx, config, r)
	if err == nil || !slices.ContainsFunc(m.read, (*registry.Body).FromMirror) {
		return t, err
	}
	if t, err = l.newMerge(repo).tree(registry.WithoutMirrors(ctx), config, r); err == nil {
		for _, body := range m.read {
			body.Reject()
		}
	}
	return t, err
}

func (l *Loader) newMerge(repo string) *merge {
	m := &merge{Loader: l, repo: repo, builder: tree.NewBuilder(), titles: map[string]bool{}}
	m.builder.Limit = int(l.maxIndex)
	return m
}

// close gives back what the merge took.
func (m *merge) close() {
	m.builder.Close()
	if m.isLarge {
		<-m.large
	}
}

// becomeLarge waits until fewer than largeAtOnce other versions are large.
func (m *merge) becomeLarge(ctx context.Context) error {
	select {
	case m.large <- struct{}{}:
		m.isLarge = true
		return nil
	case <-ctx.Done():
		return unavailable(errors.New("other large versions are being read"))
	}
}

// tree merges the layers, once.
func (m *merge) tree(ctx context.Context, config manifest.Descriptor, r *record) (*tree.Tree, error) {
	defer m.close()
	m.builder.Large = func() error { return m.becomeLarge(ctx) }
	contents, err := contentsOf(config, r.Layers)
	if err != nil {
		return nil, malformed{err}
	}
	for i, d := range r.Layers {
		if err := m.add(ctx, i, d, contents[i]); err != nil {
			err = fmt.Errorf("layer %s: %w", d.Digest, err)
			if errors.Is(err, tree.ErrTooLarge) {
				err = fmt.Errorf("%w: --max-index allows more", err)
			}
			if errors.Is(err, layer.ErrFormat) {
				err = malformed{err}
			}
			return nil, err
		}
	}
	if text := m.missing(config, len(r.Layers)); text != "" {
		r.warn(text)
	}
	if n, first := m.builder.Omitted(); n > 0 {
		r.warn(fmt.Sprintf("%d devices, pipes and sockets of its layers are left out: the first is %.200q", n, first))
	}
	t, dropped, err := m.builder.Freeze(r.RootDir)
	if errors.Is(err, fs.ErrNotExist) {
		r.warn(fmt.Sprintf("its configuration says rootDir %q, which its layers do not have: all of them is shown", r.RootDir))
		r.RootDir = "."
		t, dropped, err = m.builder.Freeze(r.RootDir)
	}
	if err != nil {
		return nil, malformed{err}
	}
	logDropped(m.repo, r.Digest, dropped)
	return t, nil
}

// contentsOf tells what each layer holds, before any of them is read.
func contentsOf(config manifest.Descriptor, layers []manifest.Descriptor) ([]manifest.Content, error) {
	contents := make([]manifest.Content, len(layers))
	archives := 0
	for i, d := range layers {
		var err error
		if contents[i], err = manifest.ContentOf(config, d); err != nil {
			return nil, err
		}
		if contents[i].Kind == manifest.Archive || contents[i].Kind == manifest.Folder {
			archives++
		}
	}
	if archives > maxArchives {
		return nil, fmt.Errorf("%d layers over each other, more than %d: %w", archives, maxArchives, manifest.ErrUnsupported)
	}
	return contents, nil
}

// logDropped tells of some of the links that are not shown.
func logDropped(repo string, d digest.Digest, dropped []tree.Dropped) {
	for i, link := range dropped {
		if i == 10 {
			slog.Warn("links left out", "event", "link_escape", "repo", repo, "digest", d, "more", len(dropped)-i)
			break
		}
		slog.Warn("link left out: it leads out of the site or nowhere", "event", "link_escape",
			"repo", repo, "digest", d, "path", link.Path, "target", link.Target)
	}
}

// missing says which layers show nothing, if any do not.
func (m *merge) missing(config manifest.Descriptor, layers int) string {
	switch {
	case layers == 0:
		return fmt.Sprintf("it has no layers: its configuration is %.100q", config.MediaType)
	case len(m.nothing) == 0:
		return ""
	}
	return fmt.Sprintf("%d of its %d layers are no files that have a name: the first is %.100q", len(m.nothing), layers, m.nothing[0].MediaType)
}

// add adds one layer.
func (m *merge) add(ctx context.Context, number int, d manifest.Descriptor, c manifest.Content) error {
	switch c.Kind {
	case manifest.Archive:
		return m.archive(ctx, number, d)
	case manifest.File:
		return m.file(ctx, number, d, c.Title)
	case manifest.Folder:
		return m.folder(ctx, number, d, c.Title)
	}
	m.nothing = append(m.nothing, d)
	return nil
}

// archive adds a layer by its table of contents if the manifest vouches for
// one, else by reading all of it.
func (m *merge) archive(ctx context.Context, number int, d manifest.Descriptor) error {
	if toc := manifest.TOCOf(d); toc.Vouched() {
		err := m.readTOC(ctx, number, d, toc)
		if !errors.Is(err, layer.ErrNoTOC) {
			return err
		}
		slog.Info("table of contents cannot be used, reading the whole layer", "event", "no_toc",
			"repo", m.repo, "digest", d.Digest, "err", err)
	}
	return m.stream(ctx, d, func(body io.Reader) error {
		return layer.Scan(m.builder, number, d.Size, body, m.put)
	})
}

// file adds a layer that is one file. It is not read before it is asked for,
// unless its digest alone is not enough to verify it then.
func (m *merge) file(ctx context.Context, number int, d manifest.Descriptor, title string) error {
	if err := m.entitle(title); err != nil {
		return err
	}
	if sum, ok := sha256Of(d.Digest); ok && d.Size <= layer.MaxWhole {
		return layer.AddFile(m.builder, number, title, d.Size, sum)
	}
	return m.stream(ctx, d, func(body io.Reader) error {
		return layer.ScanFile(m.builder, number, title, d.Size, body, m.put)
	})
}

// folder adds a layer that is a packed folder.
func (m *merge) folder(ctx context.Context, number int, d manifest.Descriptor, title string) error {
	if err := m.entitle(title); err != nil {
		return err
	}
	dir, err := layer.CleanTitle(title)
	if err != nil {
		return err
	}
	return m.stream(ctx, d, func(body io.Reader) error {
		return layer.ScanBelow(m.builder, number, d.Size, dir, body, m.put)
	})
}

// entitle refuses a title that another layer has.
func (m *merge) entitle(title string) error {
	name, err := layer.CleanTitle(title)
	if err != nil {
		return err
	}
	if m.titles[name] {
		return fmt.Errorf("%w: two layers with the title %.200q", layer.ErrFormat, title)
	}
	m.titles[name] = true
	return nil
}

func sha256Of(d digest.Digest) (sum tree.Digest, ok bool) {
	if d.Algorithm() != digest.SHA256 {
		return sum, false
	}
	n, err := hex.Decode(sum[:], []byte(d.Encoded()))
	return sum, err == nil && n == len(sum)
}

// stream hands all of a blob to read, once.
func (m *merge) stream(ctx context.Context, d manifest.Descriptor, read func(io.Reader) error) error {
	body, err := m.registry.Blob(ctx, m.repo, d.Digest, d.Size)
	if err != nil {
		return Promised(err)
	}
	defer body.Close()
	m.read = append(m.read, body)
	return read(body)
}

// put keeps a chunk of a layer that is read as a whole. Chunks are named by
// their own digest, so that keeping them before the whole layer has been
// verified says nothing about the layer: until then no tree names them.
func (m *merge) put(sum tree.Digest, data []byte) {
	if m.store == nil {
		return // only the tree is wanted: see ReadVersion
	}
	if err := m.shelf(m.repo).PutVerified(sum, data); err != nil {
		slog.Warn("content is not kept", "event", "cache_full", "err", err)
	}
}

// readTOC adds a layer by its table of contents.
func (m *merge) readTOC(ctx context.Context, number int, d manifest.Descriptor, toc manifest.TOC) error {
	if z := toc.Zstd; z != nil {
		return m.table(ctx, d, z.Offset, z.Length, func(r io.Reader) error {
			return layer.ReadZstdTOC(m.builder, number, z.Offset, r, layer.ZstdTOC{Digest: z.Digest, JSON: toc.Digest, Size: z.Size})
		})
	}
	if d.Size <= layer.FooterSize {
		return layer.ErrNoTOC
	}
	end := d.Size - layer.FooterSize
	if toc.Offset == 0 {
		footer, err := m.bytes(ctx, d, end, layer.FooterSize)
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
	return m.table(ctx, d, toc.Offset, end-toc.Offset, func(r io.Reader) error {
		return layer.ReadTOC(m.builder, number, toc.Offset, r, toc.Digest)
	})
}

// maxTable bounds a compressed table of contents in bytes: a million files at
// the hundred bytes that two digests and a name take at least.
const maxTable = 128 << 20

// table hands the n bytes of a table of contents at off to read, as they come.
func (m *merge) table(ctx context.Context, d manifest.Descriptor, off, n int64, read func(io.Reader) error) error {
	body, err := m.open(ctx, d, off, n)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := read(body); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, body) // zeros; a connection that is read to its end can be used again
	return nil
}

// bytes reads one range of a layer.
func (m *merge) bytes(ctx context.Context, d manifest.Descriptor, off, n int64) ([]byte, error) {
	body, err := m.open(ctx, d, off, n)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data := make([]byte, n)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, unavailable(err)
	}
	return data, nil
}

// open opens one range of a layer. A registry that sends the whole blob instead
// makes the caller read it whole by itself: ErrNoTOC.
func (m *merge) open(ctx context.Context, d manifest.Descriptor, off, n int64) (*registry.Body, error) {
	if n > maxTable {
		return nil, layer.ErrNoTOC
	}
	body, err := m.registry.Range(ctx, m.repo, d.Digest, d.Size, off, n)
	if err != nil {
		return nil, Promised(err)
	}
	m.read = append(m.read, body)
	if body.Offset != off || body.Length != n {
		body.Close()
		return nil, fmt.Errorf("the registry does not serve ranges: %w", layer.ErrNoTOC)
	}
	return body, nil
}
