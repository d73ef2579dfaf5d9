package layer

import (
	"context"
	"io"
	"io/fs"
	"runtime"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// PackEntry is one file, folder or symbolic link to be stored. Nothing else of
// it is stored: no times, owners or permissions, which differ from machine to
// machine.
type PackEntry struct {
	Name string      // path in the layer as fs.ValidPath has it, never "."
	Type fs.FileMode // fs.ModeDir, fs.ModeSymlink, or 0 for a regular file
	Size int64       // bytes of a regular file
	Link string      // target of a symbolic link
}

// PackSource is what Pack stores.
type PackSource interface {
	// Entries gives what is stored, in the order in which it is stored: each
	// name once, a folder before what is in it.
	Entries() []PackEntry
	// Open opens the content of a regular file, e.Size bytes. It is called
	// for one file after the other, in order, each closed before the next.
	// Its errors, and those of reading, name the file.
	Open(e PackEntry) (io.ReadCloser, error)
}

// Packed describes a layer that was written.
type Packed struct {
	Digest    digest.Digest // of the blob
	Size      int64         // of the blob, bytes
	DiffID    digest.Digest // of the uncompressed tar, the table of contents included
	TOCDigest digest.Digest // of the table's JSON
	TOCOffset int64         // of the table's gzip member in the blob, bytes
	Files     int           // regular files
	Bytes     int64         // what they hold
}

const (
	// memberSize is how many uncompressed bytes are gathered in one gzip
	// member before the next content begins another. Small members cost
	// compression (185 small files: 374 kB as tar.gz, 666 kB with a member
	// for each file, 400 kB with 64 KiB), large ones make the reading of one
	// small file fetch its neighbours.
	memberSize = 64 << 10

	// packLevel is the compression level. On 8,000 pages of a manual, 88 MB,
	// two cores: level 5 0.48 s 12.5 MB, 6 0.59 s 12.3 MB, 8 0.87 s 12.0 MB,
	// 9 2.4 s 11.8 MB; tar and gzip -6 take 1.85 s.
	packLevel = 6

	// maxMembersInFlight bounds the memory of Pack, at about 8 MiB a member
	// when all files are large, on machines with many processors.
	maxMembersInFlight = 34
)

// Pack writes src to w as an eStargz layer. The bytes depend on the entries and
// their contents alone, not on the number of processors: the tar stream is cut
// into gzip members at places that its content determines, and the members,
// which are independent of each other, are compressed in parallel.
//
// Large files are streamed. A file that is longer or shorter than its entry
// says is an error that names it.
//
// known, if not nil, spares compressing what it remembers. It does not change
// the bytes.
func Pack(ctx context.Context, w io.Writer, src PackSource, known Members) (Packed, error) {
	workers := runtime.GOMAXPROCS(0)
	line := newPackLine(min(2*workers+2, maxMembersInFlight))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer line.end()
		return cutEntries(ctx, line, src)
	})
	for range workers {
		g.Go(func() error { return line.compress(known) })
	}
	joined := newPackJoiner(w)
	g.Go(func() error { return line.join(ctx, joined) })
	if err := g.Wait(); err != nil {
		return Packed{}, err
	}
	return joined.finish()
}
