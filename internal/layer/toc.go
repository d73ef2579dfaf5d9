package layer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

// maxSpan bounds how far into a member a chunk may lie, since all before it
// has to be decompressed to get there.
const maxSpan = 2 * tree.MaxChunk

// ErrNoTOC means that a blob has no table of contents that could be used: it
// has to be read as a whole.
var ErrNoTOC = errors.New("no usable table of contents")

// tocParser puts what a table of contents says into a tree, entry by entry, as
// it comes.
type tocParser struct {
	b     *tree.Builder
	layer int
	end   int64 // of the members: where the table begins
	all   entries
	item  tocItem // that is being read

	file []byte // the name of the file whose chunks are being read
	size int64  // of that file, in bytes
	left int64  // what no chunk covers yet

	first  uint32 // member of this layer
	member uint32 // of the chunk before
	start  int64  // where that member begins, -1 if there is none
}

func newTOCParser(b *tree.Builder, layer int, end int64) *tocParser {
	return &tocParser{b: b, layer: layer, end: end, all: begin(b, ""), start: -1}
}

// finish ends the layer, whose table is read and right. Whatever failed, the
// tree is not to be used, or as it was if the error is ErrNoTOC.
func (p *tocParser) finish(err error) error {
	if err == nil {
		if p.start >= 0 {
			p.b.EndMembers(p.first, p.end)
		}
		return p.all.end()
	}
	p.b.Pieces() // of a file that was left in the middle
	p.b.EndWaiting()
	if p.all.direct {
		p.b.Reset()
	}
	return fmt.Errorf("table of contents: %w", err)
}

// check reads a table's JSON and compares it with its digest; nothing of it
// counts before all of it has been compared. A table that is damaged looks
// malformed, hence the order of the errors.
func (p *tocParser) check(r io.Reader, want digest.Digest) error {
	verifier := want.Verifier()
	body := readAhead(io.TeeReader(r, verifier))
	defer body.stop()
	malformed := p.parse(newJSONReader(body))
	if _, err := io.Copy(io.Discard, body); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !verifier.Verified() {
		return fmt.Errorf("%w %s", ErrDigest, want)
	}
	return malformed
}

// parse reads {"version": 1, "entries": [...]}, one entry at a time.
func (p *tocParser) parse(j *jsonReader) error {
	var version int64
	var seen bool
	err := j.object(func(key []byte) error {
		switch string(key) {
		case "version":
			return j.int64(&version)
		case "entries":
			if seen {
				return fmt.Errorf("%w: two lists of entries", ErrFormat)
			}
			seen = true
			return p.entries(j)
		}
		return j.skip()
	})
	if err != nil {
		return err
	}
	if version != 1 {
		return fmt.Errorf("of version %d: %w", version, ErrNoTOC)
	}
	if err := j.finish(); err != nil {
		return err
	}
	return p.closed()
}

func (p *tocParser) entries(j *jsonReader) error {
	if c, err := j.next(); err != nil || c == 'n' { // null, as Go writes an empty list
		return errors.Join(err, j.skip())
	}
	return j.array(func() error {
		if err := p.item.read(j); err != nil {
			return err
		}
		return p.entry(&p.item)
	})
}

// tocItem is a tocEntry that is read into the same memory again and again: there
// may be a million of them.
type tocItem struct {
	name, kind, link, digest, chunkDigest []byte

	size, offset, innerOffset, chunkOffset, chunkSize int64
}

// read reads one entry. A key that comes twice may mean one thing here and
// another elsewhere, and is refused.
func (e *tocItem) read(j *jsonReader) error {
	*e = tocItem{name: e.name[:0], kind: e.kind[:0], link: e.link[:0], digest: e.digest[:0], chunkDigest: e.chunkDigest[:0]}
	var seen uint16
	return j.object(func(key []byte) (err error) {
		field := uint16(0)
		switch string(key) {
		case "name":
			field, err = 1<<0, j.string(&e.name)
		case "type":
			field, err = 1<<1, j.string(&e.kind)
		case "size":
			field, err = 1<<2, j.int64(&e.size)
		case "linkName":
			field, err = 1<<3, j.string(&e.link)
		case "offset":
			field, err = 1<<4, j.int64(&e.offset)
		case "innerOffset":
			field, err = 1<<5, j.int64(&e.innerOffset)
		case "chunkOffset":
			field, err = 1<<6, j.int64(&e.chunkOffset)
		case "chunkSize":
			field, err = 1<<7, j.int64(&e.chunkSize)
		case "chunkDigest":
			field, err = 1<<8, j.string(&e.chunkDigest)
		case "digest":
			field, err = 1<<9, j.string(&e.digest)
		default:
			return j.skip()
		}
		if seen&field != 0 {
			return fmt.Errorf("%w: %.200q: an entry with the same key twice", ErrFormat, e.name)
		}
		seen |= field
		return err
	})
}

// noRune is what writers put where a name is not UTF-8, which JSON cannot say.
var noRune = []byte("\uFFFD")

func (p *tocParser) entry(e *tocItem) error {
	if bytes.Contains(e.name, noRune) || bytes.Contains(e.link, noRune) {
		return fmt.Errorf("%.200q: %w", e.name, ErrNoTOC)
	}
	if string(e.kind) == "chunk" {
		return p.chunk(e)
	}
	if err := p.closed(); err != nil {
		return err
	}
	switch string(e.kind) {
	case "dir":
		return p.all.add(tree.Entry{Path: text(e.name), Kind: tree.Dir})
	case "symlink":
		return p.all.add(tree.Entry{Path: text(e.name), Kind: tree.Symlink, Target: text(e.link)})
	case "hardlink":
		return p.all.add(tree.Entry{Path: text(e.name), Kind: hardLink, Target: text(e.link)})
	case "reg":
		return p.open(e)
	case "char", "block", "fifo":
		return p.all.add(tree.Entry{Path: text(e.name), Kind: device})
	}
	return fmt.Errorf("%w: %.200q: an entry of the unknown type %.20q", ErrFormat, e.name, e.kind)
}

// text is s as a string that is good until s is another.
func text(s []byte) string {
	return unsafe.String(unsafe.SliceData(s), len(s)) //nolint:gosec // a tree keeps none of the strings that it gets
}

// open begins a file, and takes the first of its chunks.
func (p *tocParser) open(e *tocItem) error {
	if e.size < 0 {
		return fmt.Errorf("%w: %.200q: size %d", ErrFormat, e.name, e.size)
	}
	p.file, p.size, p.left = append(p.file[:0], e.name...), e.size, e.size
	if e.size == 0 {
		return p.add()
	}
	return p.chunk(e)
}

// chunk takes one piece of the current file, and adds the file with the last.
func (p *tocParser) chunk(e *tocItem) error {
	if p.left == 0 {
		return fmt.Errorf("%w: %.200q: a chunk of no file", ErrFormat, e.name)
	}
	at, size := p.size-p.left, e.chunkSize
	if size == 0 {
		size = p.left
	}
	if e.chunkOffset != at || size <= 0 || size > p.left || e.offset < 0 || e.offset >= p.end || e.innerOffset < 0 {
		return fmt.Errorf("%w: %.200q: chunk of %d bytes at %d makes no sense", ErrFormat, p.file, size, e.chunkOffset)
	}
	if size > tree.MaxChunk || e.innerOffset > maxSpan {
		return fmt.Errorf("%.200q: chunk of %d bytes at %d of its member: %w", p.file, size, e.innerOffset, ErrNoTOC)
	}
	text := e.chunkDigest
	if len(text) == 0 && size == p.size {
		text = e.digest // stargz and zstd:chunked have no other for a file of one chunk
	}
	sum, err := parseSHA256(text)
	if err != nil {
		return fmt.Errorf("%.200q: %w", p.file, err)
	}
	chunk := tree.Chunk{Digest: sum, Size: size, Offset: at, Inner: e.innerOffset, Member: p.memberAt(e.offset)}
	if err := p.b.AddChunk(chunk); err != nil {
		return fmt.Errorf("%w: %.200q: %w", ErrFormat, p.file, err)
	}
	if p.left -= size; p.left == 0 {
		return p.add()
	}
	return nil
}

// memberAt is the member that begins at off. Most often the next chunk is in the
// same one or in a new one.
func (p *tocParser) memberAt(off int64) uint32 {
	if off != p.start {
		p.member = p.b.AddMember(p.layer, off, 0) // how long it is shows in the end
		if p.start < 0 {
			p.first = p.member
		}
		p.start = off
	}
	return p.member
}

// add adds the file whose chunks have all been read.
func (p *tocParser) add() error {
	return p.all.add(tree.Entry{Path: text(p.file), Kind: tree.File, Pieces: p.b.Pieces()})
}

// closed wants the file before to be complete.
func (p *tocParser) closed() error {
	if p.left != 0 {
		return fmt.Errorf("%w: %.200q: its chunks miss %d bytes", ErrFormat, p.file, p.left)
	}
	return nil
}

// parseSHA256 reads a digest as its grammar has it: lower case.
func parseSHA256(s []byte) (sum tree.Digest, err error) {
	const prefix = "sha256:"
	if len(s) != len(prefix)+2*len(sum) || string(s[:len(prefix)]) != prefix {
		return sum, fmt.Errorf("chunk digest %.100q: %w", s, ErrNoTOC)
	}
	bad := byte(0)
	for i := range sum {
		high, low := nibbles[s[len(prefix)+2*i]], nibbles[s[len(prefix)+2*i+1]]
		sum[i] = high<<4 | low
		bad |= high | low
	}
	if bad > 0xf {
		return sum, fmt.Errorf("chunk digest %.100q: %w", s, ErrNoTOC)
	}
	return sum, nil
}

// nibbles are the values of hex digits in lower case, and 0xff for all else.
var nibbles = func() (table [256]byte) {
	for c := range table {
		table[c] = 0xff
	}
	for value, c := range []byte("0123456789abcdef") {
		table[c] = byte(value)
	}
	return table
}()
