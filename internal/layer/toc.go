package layer

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/tree"
)

// maxSpan bounds how far into a member a chunk may lie, since all before it
// has to be decompressed to get there.
const maxSpan = 2 * tree.MaxChunk

// ErrNoTOC means that a blob has no table of contents that could be used: it
// has to be read as a whole.
var ErrNoTOC = errors.New("no usable table of contents")

// tocParser collects the entries of a table of contents.
type tocParser struct {
	end    int64 // of the members: where the table begins
	all    entries
	file   *tocEntry    // the file whose chunks are being read
	chunks []tree.Chunk // of that file; their Member is an index of starts until all are known
	spare  []tree.Chunk // room for the chunks of files that have one, which nearly all do
	left   int64        // bytes of that file that no chunk covers yet
	starts []int64      // where the member of each chunk begins
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
	return p.finishFile()
}

func (p *tocParser) entries(j *jsonReader) error {
	if c, err := j.next(); err != nil || c == 'n' { // null, as Go writes an empty list
		return errors.Join(err, j.skip())
	}
	return j.array(func() error {
		e, err := readEntry(j)
		if err != nil {
			return err
		}
		return p.entry(&e)
	})
}

// readEntry reads one entry. A key that comes twice may mean one thing here and
// another elsewhere, and is refused.
func readEntry(j *jsonReader) (tocEntry, error) {
	var e tocEntry
	var seen uint16
	err := j.object(func(key []byte) (err error) {
		field := uint16(0)
		switch string(key) {
		case "name":
			field, err = 1<<0, j.string(&e.Name)
		case "type":
			field, err = 1<<1, j.repeated(&e.Type)
		case "size":
			field, err = 1<<2, j.int64(&e.Size)
		case "linkName":
			field, err = 1<<3, j.string(&e.LinkName)
		case "offset":
			field, err = 1<<4, j.int64(&e.Offset)
		case "innerOffset":
			field, err = 1<<5, j.int64(&e.InnerOffset)
		case "chunkOffset":
			field, err = 1<<6, j.int64(&e.ChunkOffset)
		case "chunkSize":
			field, err = 1<<7, j.int64(&e.ChunkSize)
		case "chunkDigest":
			field, err = 1<<8, j.string(&e.ChunkDigest)
		case "digest":
			field, err = 1<<9, j.string(&e.Digest)
		default:
			return j.skip()
		}
		if seen&field != 0 {
			return fmt.Errorf("%w: %.200q: an entry with the same key twice", ErrFormat, e.Name)
		}
		seen |= field
		return err
	})
	return e, err
}

func (p *tocParser) entry(e *tocEntry) error {
	if strings.Contains(e.Name+e.LinkName, "\uFFFD") {
		// What is not UTF-8 cannot be said in JSON, and writers put this instead.
		return fmt.Errorf("%.200q: %w", e.Name, ErrNoTOC)
	}
	if e.Type == "chunk" {
		return p.chunk(e)
	}
	if err := p.finishFile(); err != nil {
		return err
	}
	switch e.Type {
	case "dir":
		return p.all.add(e.Name, entry{kind: tree.Dir})
	case "symlink":
		return p.all.add(e.Name, entry{kind: tree.Symlink, target: e.LinkName})
	case "hardlink":
		return p.all.add(e.Name, entry{kind: hardLink, target: e.LinkName})
	case "reg":
		if e.Size < 0 {
			return fmt.Errorf("%w: %.200q: size %d", ErrFormat, e.Name, e.Size)
		}
		p.file, p.left, p.chunks = e, e.Size, nil
		if e.Size == 0 {
			return nil
		}
		return p.chunk(e)
	case "char", "block", "fifo":
		return p.all.add(e.Name, entry{kind: device})
	}
	return fmt.Errorf("%w: %.200q: an entry of the unknown type %.20q", ErrFormat, e.Name, e.Type)
}

// chunk takes one piece of the current file.
func (p *tocParser) chunk(e *tocEntry) error {
	if p.file == nil {
		return fmt.Errorf("%w: %.200q: a chunk of no file", ErrFormat, e.Name)
	}
	at := p.file.Size - p.left
	size := e.ChunkSize
	if size == 0 {
		size = p.left
	}
	if e.ChunkOffset != at || size <= 0 || size > p.left || e.Offset < 0 || e.Offset >= p.end || e.InnerOffset < 0 {
		return fmt.Errorf("%w: %.200q: chunk of %d bytes at %d makes no sense", ErrFormat, p.file.Name, size, e.ChunkOffset)
	}
	if size > tree.MaxChunk || e.InnerOffset > maxSpan {
		return fmt.Errorf("%.200q: chunk of %d bytes at %d of its member: %w", p.file.Name, size, e.InnerOffset, ErrNoTOC)
	}
	text := e.ChunkDigest
	if text == "" && size == p.file.Size {
		text = p.file.Digest // stargz and zstd:chunked have no other for a file of one chunk
	}
	sum, err := parseSHA256(text)
	if err != nil {
		return fmt.Errorf("%.200q: %w", p.file.Name, err)
	}
	p.left -= size
	if p.chunks == nil {
		p.chunks = p.room()
	}
	p.chunks = append(p.chunks, tree.Chunk{Digest: sum, Size: size, Offset: at, Inner: e.InnerOffset, Member: uint32(len(p.starts))})
	p.starts = append(p.starts, e.Offset)
	if len(p.starts) > 4*tree.MaxNodes {
		return fmt.Errorf("%w: more than %d chunks", ErrFormat, 4*tree.MaxNodes)
	}
	return nil
}

// room is an empty list with room for one chunk, made for many files at once.
func (p *tocParser) room() []tree.Chunk {
	if len(p.spare) == 0 {
		p.spare = make([]tree.Chunk, 256)
	}
	one := p.spare[:0:1]
	p.spare = p.spare[1:]
	return one
}

// parseSHA256 reads a digest as its grammar has it: lower case.
func parseSHA256(s string) (sum tree.Digest, err error) {
	encoded, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(encoded) != 2*len(sum) || strings.ContainsAny(encoded, "ABCDEF") {
		return sum, fmt.Errorf("chunk digest %.100q: %w", s, ErrNoTOC)
	}
	if _, err := hex.Decode(sum[:], []byte(encoded)); err != nil {
		return sum, fmt.Errorf("chunk digest %.100q: %w", s, ErrNoTOC)
	}
	return sum, nil
}

// finishFile adds the file whose chunks have all been read.
func (p *tocParser) finishFile() error {
	if p.file == nil {
		return nil
	}
	if p.left != 0 {
		return fmt.Errorf("%w: %.200q: its chunks miss %d bytes", ErrFormat, p.file.Name, p.left)
	}
	f := p.file
	p.file = nil
	return p.all.add(f.Name, entry{kind: tree.File, chunks: p.chunks})
}

// apply tells the builder which ranges of the blob there are. A member ends
// where the next one begins.
func (p *tocParser) apply(b *tree.Builder, layer int) error {
	offsets := slices.Clone(p.starts)
	if !slices.IsSorted(offsets) {
		slices.Sort(offsets)
	}
	offsets = slices.Compact(offsets)
	first := uint32(0)
	for i, off := range offsets {
		end := p.end
		if i+1 < len(offsets) {
			end = offsets[i+1]
		}
		if n := b.AddMember(layer, off, end-off); i == 0 {
			first = n
		}
	}
	at := 0 // most often the next chunk is in the same member or the next one
	for e := range p.all.each {
		for i := range e.chunks {
			start := p.starts[e.chunks[i].Member]
			if at+1 < len(offsets) && offsets[at+1] == start {
				at++
			} else if offsets[at] != start {
				at, _ = slices.BinarySearch(offsets, start)
			}
			e.chunks[i].Member = first + uint32(at)
		}
	}
	return p.all.apply(b)
}
