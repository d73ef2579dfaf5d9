package site

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

// contents is where the bytes of sites come from and where they are kept.
type contents struct {
	registry *registry.Client
	store    *cache.Store
	flights  *flights
	fetches  *fetches
	health   *Health
	costs    costs

	companions *companions

	wholeBlob int64 // see there
}

// Local tells whether the bytes at the beginning of file n are here, so that
// opening it cannot fail.
func (s *Site) Local(n tree.Node) bool {
	first, count := s.Tree.Chunks(n)
	if count == 0 {
		return true
	}
	c := s.Tree.Chunk(first)
	return s.shelf.Has(c.Digest, c.Size)
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
	member := s.Tree.Chunk(first).Member
	s.follow(member)
	if err := s.fetch(ctx, member); err != nil {
		return err
	}
	if isPage(s.Tree.Name(n)) {
		go s.fetchPage(n)
	}
	return nil
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

// Piece is an open file that holds bytes of a site's file, verified, from Offset
// on. It must be released.
type Piece struct {
	Fd      uintptr
	Offset  int64
	Release func()
}

// Piece gives the file in the store that holds all of the size bytes at off of
// file n, for who can hand them on without a copy. There is none for small
// contents, for what is not here, and across the end of a chunk.
func (s *Site) Piece(n tree.Node, off int64, size int) (Piece, bool) {
	if off >= s.Tree.Size(n) {
		return Piece{}, false
	}
	c := s.Tree.Chunk(s.Tree.ChunkAt(n, off))
	if off+int64(size) > c.Offset+c.Size {
		return Piece{}, false
	}
	d, ok := s.shelf.Descriptor(c.Digest, c.Size)
	if !ok {
		return Piece{}, false
	}
	s.follow(c.Member)
	return Piece{Fd: d.Fd(), Offset: d.Offset() + off - c.Offset, Release: d.Release}, true
}

// readChunk fills p from chunk c. A chunk may be gone again from the store
// before it is read, or found damaged there, hence the further tries.
func (s *Site) readChunk(ctx context.Context, c tree.Chunk, p []byte, off int64) error {
	s.follow(c.Member)
	for try := 0; ; try++ {
		n, err := s.shelf.ReadAt(c.Digest, c.Size, p, off)
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
