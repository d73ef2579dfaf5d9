package site

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/layer"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

// wholeBlob is the size in bytes up to which a layer of which much is missing
// is fetched by one GET: below it, the round trips of single ranges cost more
// than the bytes they save.
const wholeBlob = 16 << 20

// contents fetches the bytes of sites into the content store.
type contents struct {
	registry *registry.Client
	store    *cache.Store
	flights  *flights
	health   *health
}

// plan is how the content of one layer is fetched.
type plan struct {
	first, count uint32 // its members in the tree
	decide       sync.Once
	whole        bool // by one GET of the blob
}

// Local tells whether the bytes at the beginning of file n are here, so that
// opening it cannot fail.
func (s *Site) Local(n tree.Node) bool {
	first, count := s.Tree.Chunks(n)
	return count == 0 || s.content.store.Has(s.Tree.Chunk(first).Digest)
}

// Ready waits until file n can be opened without being a promise that cannot
// be kept: its first chunk is here, verified, or it says why it cannot be. When
// ctx's deadline passes first the error is ErrUnavailable, and the fetch goes
// on.
func (s *Site) Ready(ctx context.Context, n tree.Node) error {
	if s.Local(n) {
		return nil
	}
	first, _ := s.Tree.Chunks(n)
	return s.fetch(ctx, s.Tree.Chunk(first).Member)
}

// ReadAt reads from file n as io.ReaderAt does; what is not here is fetched. Its
// errors are those of Ready.
func (s *Site) ReadAt(ctx context.Context, n tree.Node, p []byte, off int64) (int, error) {
	size := s.Tree.Size(n)
	if off >= size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), size-off)]
	done := 0
	for done < len(p) {
		c := s.Tree.Chunk(s.Tree.ChunkAt(n, off))
		part := p[done:min(int64(len(p)), int64(done)+c.Offset+c.Size-off)]
		if err := s.readChunk(ctx, c, part, off-c.Offset); err != nil {
			return done, err
		}
		done += len(part)
		off += int64(len(part))
	}
	if off == size {
		return done, io.EOF
	}
	return done, nil
}

// readChunk fills p from chunk c. A chunk may be gone again from the store
// before it is read, or found damaged there, hence the second try.
func (s *Site) readChunk(ctx context.Context, c tree.Chunk, p []byte, off int64) error {
	for try := 0; ; try++ {
		n, err := s.content.store.ReadAt(c.Digest, c.Size, p, off)
		if n == len(p) {
			return nil
		}
		if try == 2 || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, io.EOF) {
			return fmt.Errorf("chunk %x: read %d of %d bytes: %w", c.Digest[:8], n, len(p), unavailable(err))
		}
		if err := s.fetch(ctx, c.Member); err != nil {
			return err
		}
	}
}

// unavailable keeps a "not exist" about the store from passing for a statement
// about the registry.
func unavailable(err error) error { return fmt.Errorf("%w: %v", registry.ErrUnavailable, err) }

// fetch brings the chunks of a member into the store.
func (s *Site) fetch(ctx context.Context, number uint32) error {
	m := s.Tree.Member(number)
	if err := s.content.health.check(); err != nil {
		return err
	}
	key := fmt.Sprintf("%s of %s", s.layers[m.Layer].Digest, s.repo)
	work := func(ctx context.Context) error { return s.fetchLayer(ctx, m.Layer) }
	if !s.planOf(m.Layer).whole {
		key = fmt.Sprintf("bytes %d+%d of %s", m.Offset, m.Size, key)
		work = func(ctx context.Context) error { return s.fetchMember(ctx, m) }
	}
	_, err := s.content.flights.do(ctx, key, func(ctx context.Context) (any, error) {
		err := work(ctx)
		s.content.health.note(err)
		return nil, err
	})
	return promised(err)
}

// errBroken marks what a manifest names and the registry does not have. It says
// nothing about whether the registry answers.
var errBroken = errors.New("the registry does not have what its manifest names")

// promised turns "not there" into "unavailable" for what a manifest names: its
// absence is a fault, not an answer to who asked for a file.
func promised(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w: %v", registry.ErrUnavailable, errBroken, err)
	}
	return err
}

// planOf decides, once, how the layer's content is fetched: by one GET if it is
// small and half of it or more is missing. A layer without a table of contents
// is one member, which is the same thing.
func (s *Site) planOf(layer int) *plan {
	p := &s.plans[layer]
	p.decide.Do(func() {
		size := s.layers[layer].Size
		if size > wholeBlob {
			return
		}
		var missing int64
		for i := p.first; i < p.first+p.count; i++ {
			if m := s.Tree.Member(i); !s.isLocal(m) {
				missing += m.Size
			}
		}
		p.whole = missing >= size/2
	})
	return p
}

// isLocal tells whether all chunks of a member are in the store.
func (s *Site) isLocal(m tree.Member) bool {
	for i := m.First; i < m.First+m.Count; i++ {
		if !s.content.store.Has(s.Tree.Chunk(i).Digest) {
			return false
		}
	}
	return true
}

// fetchMember reads one member by one range. A registry that sends the whole
// blob instead has sent a gift: all of it is kept.
func (s *Site) fetchMember(ctx context.Context, m tree.Member) error {
	l := s.layers[m.Layer]
	body, err := s.content.registry.Range(ctx, s.repo, l.Digest, l.Size, m.Offset, m.Size)
	if err != nil {
		return err
	}
	defer body.Close()
	if body.Offset == m.Offset && body.Length == m.Size {
		return s.unpack(m, body)
	}
	return s.unpackLayer(m.Layer, body)
}

// fetchLayer reads a whole layer by one GET.
func (s *Site) fetchLayer(ctx context.Context, layer int) error {
	l := s.layers[layer]
	body, err := s.content.registry.Blob(ctx, s.repo, l.Digest, l.Size)
	if err != nil {
		return err
	}
	defer body.Close()
	return s.unpackLayer(layer, body)
}

// unpackLayer keeps the content of all members of a layer; r holds its whole
// blob. A damaged member does not spoil the others.
func (s *Site) unpackLayer(layer int, r io.Reader) error {
	p := &s.plans[layer]
	var at int64
	var first error
	for i := p.first; i < p.first+p.count; i++ {
		m := s.Tree.Member(i)
		if _, err := io.CopyN(io.Discard, r, m.Offset-at); err != nil {
			return err
		}
		member := &io.LimitedReader{R: r, N: m.Size}
		if err := s.unpack(m, member); err != nil && first == nil {
			first = err
		}
		if _, err := io.Copy(io.Discard, member); err != nil {
			return err
		}
		at = m.Offset + m.Size
	}
	return first
}

// unpack keeps the content of one member.
func (s *Site) unpack(m tree.Member, r io.Reader) error {
	var full error
	err := layer.Unpack(s.Tree, m, r, func(sum tree.Digest, data []byte) {
		if err := s.content.store.Put(sum, data); err != nil {
			full = err
		}
	})
	return errors.Join(err, full)
}
