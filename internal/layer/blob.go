package layer

import (
	"crypto/sha256"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/regfs/regfs/internal/tree"
)

// MaxWhole is up to which size in bytes a blob can be a file without having
// been read before: all of it is then one chunk, verified by the blob's digest.
const MaxWhole = tree.MaxChunk

// AddFile puts a blob into b as the file title, unread. It has size bytes, at
// most MaxWhole; sum is its digest; layer is its number in the manifest. Its
// error is an ErrFormat.
func AddFile(b *tree.Builder, layer int, title string, size int64, sum tree.Digest) error {
	if size > 0 {
		if err := b.AddChunk(tree.Chunk{Digest: sum, Size: size, Member: b.AddStored(layer, 0, size)}); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
	}
	return place(b, title)
}

// ScanFile puts a blob of any size into b as the file title. It reads r, which
// is the blob, to its end, and hands the content to keep. Each chunk can be had
// again by a range of its own. Its errors are ErrFormat and those of r.
func ScanFile(b *tree.Builder, layer int, title string, size int64, r io.Reader, keep Keep) error {
	buf := make([]byte, min(ChunkSize, size))
	for off := int64(0); off < size; {
		data := buf[:min(ChunkSize, size-off)]
		if _, err := io.ReadFull(r, data); err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		keep(sum, data)
		n := int64(len(data))
		if err := b.AddChunk(tree.Chunk{Digest: sum, Size: n, Offset: off, Member: b.AddStored(layer, off, n)}); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		off += n
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return place(b, title)
}

// place makes the chunks that were added the file title.
func place(b *tree.Builder, title string) error {
	name, err := CleanTitle(title)
	if err != nil {
		return err
	}
	if err := b.Place(name, b.Pieces()); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}

// CleanTitle is the path in the tree of a blob with that title. The error is an
// ErrFormat if it cannot be one.
func CleanTitle(title string) (string, error) {
	name, err := cleanName(title)
	if err != nil {
		return "", err
	}
	if name == "." || strings.HasPrefix(path.Base(name), whiteoutPrefix) {
		return "", fmt.Errorf("%w: the title %.200q is no name of a file", ErrFormat, title)
	}
	return name, nil
}
