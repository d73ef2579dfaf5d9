package site

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/regfs/regfs/internal/tree"
)

// companionSuffix is what the name of a companion has behind that of its file.
const companionSuffix = ".gz"

const (
	// minPlain is from which size in bytes a file has a companion: a smaller one
	// goes into one packet either way.
	minPlain = 1 << 10
	// maxPlain is up to which size: what is larger than the largest bundles and
	// source maps is data, and the gzip form is held in memory while it is made.
	maxPlain = 32 << 20
	// mustSave is the part of a file that its companion has to save: a tenth.
	mustSave = 10
)

// packed are the endings of files of which nothing is saved, since they are
// compressed, or which players and readers fetch by ranges.
var packed = endings(`
	png apng jpg jpeg jfif gif webp avif heic heif jxl jp2
	mp4 m4v mov webm mkv avi ogv mpg mpeg mp3 m4a aac ogg oga opus flac weba
	woff woff2 pdf epub docx xlsx pptx odt ods odp
	gz tgz bz2 xz zst br lz4 7z rar zip jar war apk whl crx xpi vsix nupkg`)

func endings(list string) map[string]bool {
	set := map[string]bool{}
	for e := range strings.FieldsSeq(list) {
		set["."+e] = true
	}
	return set
}

// Companion is a file that a site does not hold: the gzip form of one of its
// files, for web servers that look for such beside it. It never changes.
type Companion struct {
	Digest tree.Digest // of its bytes
	Size   int64       // bytes

	site  *Site
	plain tree.Node
}

// Companion finds the companion called name in folder dir, in which the site
// itself has nothing of that name. It never waits. If there is none, settled
// tells whether there can never be one; else it is made behind, and who asks
// again in a second may find it.
func (s *Site) Companion(dir tree.Node, name string) (c *Companion, settled bool) {
	plain, ok := strings.CutSuffix(name, companionSuffix)
	if !ok || plain == "" {
		return nil, true
	}
	n, ok := s.Tree.Walk(dir, plain, true)
	if !ok {
		return nil, true
	}
	return s.CompanionOf(n)
}

// CompanionOf is Companion for a file that is known by its node.
func (s *Site) CompanionOf(n tree.Node) (c *Companion, settled bool) {
	size := s.Tree.Size(n)
	if s.Tree.Kind(n) != tree.File || size < minPlain || size > maxPlain || packed[strings.ToLower(path.Ext(s.Tree.Name(n)))] {
		return nil, true
	}
	m, w := s.content.companions, wish{id: s.contentID(n), site: s, plain: n}
	d, known := m.find(w)
	switch {
	case known && !s.isProved(n):
		// Others have the file, and what became of it is not for who names its
		// digest alone. It is given when the file has been read.
	case known && d.size == 0:
		return nil, true
	case known:
		return &Companion{Digest: d.digest, Size: d.size, site: s, plain: n}, true
	}
	m.ask(w)
	return nil, false
}

// contentID names the content of file n, in all versions and repositories. A file
// in one chunk may hold the words that name one in several: those are told apart.
func (s *Site) contentID(n tree.Node) tree.Digest {
	first, count := s.Tree.Chunks(n)
	chunks := make([]tree.Chunk, count)
	for i := range chunks {
		chunks[i] = s.Tree.Chunk(first + uint32(i))
	}
	id := tree.ContentID(chunks)
	if count == 1 {
		return id
	}
	for i := range id {
		id[i] = ^id[i] // which is the digest of nothing
	}
	return id
}

// pays tells whether a companion saves enough.
func pays(size, plain int64) bool { return size > 0 && size <= mostOf(plain) }

// mostOf is how large the companion of a file of so many bytes may be.
func mostOf(plain int64) int64 { return plain - (plain+mustSave-1)/mustSave }

// Site is that whose file it is of.
func (c *Companion) Site() *Site { return c.site }

// Name says what the companion is, for the log.
func (c *Companion) Name() string {
	return c.site.Digest.String() + "/" + c.site.Tree.Path(c.plain) + companionSuffix
}

// Piece is as that of a site's file.
func (c *Companion) Piece(off int64, size int) (Piece, bool) {
	if off >= c.Size || off+int64(size) > c.Size {
		return Piece{}, false
	}
	d, ok := c.site.content.store.Descriptor(c.Digest, c.Size)
	if !ok {
		return Piece{}, false
	}
	return Piece{Fd: d.Fd(), Offset: d.Offset() + off, Release: d.Release}, true
}

// ReadAt reads from the companion as io.ReaderAt does. One that is not in the
// store any more is made again, of a file that may have to be fetched: the
// errors are those of Site.ReadAt.
func (c *Companion) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off >= c.Size {
		return 0, io.EOF
	}
	n, err := c.site.content.store.ReadAt(c.Digest, c.Size, p, off)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("companion %x: %w", c.Digest[:8], unavailable(err))
	}
	data, err := c.again(ctx)
	if err != nil {
		return 0, err
	}
	if n = copy(p, data[off:]); n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// again makes a companion whose bytes are gone. Somebody waits for it.
func (c *Companion) again(ctx context.Context) ([]byte, error) {
	s := c.site
	v, err := s.content.flights.do(ctx, fmt.Sprintf("companion %x of %s", c.Digest[:8], s.repo), func(ctx context.Context) (any, error) {
		data, err := compress(func(w io.Writer) error {
			_, err := io.Copy(w, io.NewSectionReader(plainFile{ctx, s, c.plain}, 0, s.Tree.Size(c.plain)))
			return err
		}, c.Size, atOnce)
		if err != nil {
			return nil, err
		}
		if sha256.Sum256(data) != c.Digest {
			return nil, fmt.Errorf("companion %x: it is another one when it is made again", c.Digest[:8])
		}
		_ = s.content.store.Put(c.Digest, data) // what cannot be kept can still be served
		return data, nil
	})
	data, _ := v.([]byte)
	return data, err
}

// plainFile reads a file of a site, which is fetched where it is not here.
type plainFile struct {
	ctx  context.Context
	site *Site
	node tree.Node
}

func (f plainFile) ReadAt(p []byte, off int64) (int, error) {
	return f.site.ReadAt(f.ctx, f.node, p, off)
}
