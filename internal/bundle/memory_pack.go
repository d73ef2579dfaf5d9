package bundle

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/regfs/regfs/internal/layer"
)

// packSuffix ends the names of packs.
const packSuffix = ".members"

// A pack is compressed members one after the other, then an index of them, a
// packedMember each, then a packEnd. Integers are little endian. It is complete
// when its end is there: until then, and when it was cut short, it is not read.
type pack struct {
	file    *os.File
	members []packedMember
	used    atomic.Bool
	damaged atomic.Bool
}

// packedMember is a member in the index of a pack.
type packedMember struct {
	Key    layer.MemberKey
	Sum    [sha256.Size]byte // of the compressed bytes
	Offset uint64            // bytes
	Length uint64            // bytes
}

// packEnd ends a pack.
type packEnd struct {
	Sum   [sha256.Size]byte // of the index
	Count uint64            // of members
	Magic [16]byte
}

var (
	packMagic      = [16]byte([]byte("regfs members 1\n"))
	indexEntrySize = binary.Size(packedMember{})
	endSize        = binary.Size(packEnd{})

	errPack = errors.New("not a complete pack")
)

// openPack opens a pack and checks its index; the members are checked when they
// are read.
func openPack(name string) (*pack, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	p := &pack{file: f}
	if err := p.readIndex(); err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

func (p *pack) readIndex() error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	left := info.Size() - int64(endSize)
	if left < 0 || left > memorySize {
		return errPack
	}
	buf := make([]byte, endSize)
	if _, err := p.file.ReadAt(buf, left); err != nil {
		return err
	}
	var end packEnd
	if _, err := binary.Decode(buf, binary.LittleEndian, &end); err != nil {
		return err
	}
	if end.Magic != packMagic || end.Count > uint64(left)/uint64(indexEntrySize) {
		return errPack
	}
	index := make([]byte, end.Count*uint64(indexEntrySize))
	left -= int64(len(index))
	if _, err := p.file.ReadAt(index, left); err != nil {
		return err
	}
	if sha256.Sum256(index) != end.Sum {
		return errPack
	}
	return p.parse(index, end.Count, uint64(left))
}

// parse takes the index of count members that lie before end.
func (p *pack) parse(index []byte, count, end uint64) error {
	p.members = make([]packedMember, count)
	if _, err := binary.Decode(index, binary.LittleEndian, p.members); err != nil {
		return err
	}
	for _, m := range p.members {
		if m.Length > end || m.Offset > end-m.Length {
			return errPack
		}
	}
	return nil
}

// read appends the member to b, or reports that it is not what was written.
func (p *pack) read(m packedMember, b *bytes.Buffer) bool {
	b.Grow(int(m.Length))
	data := b.AvailableBuffer()[:m.Length]
	if _, err := p.file.ReadAt(data, int64(m.Offset)); err != nil || sha256.Sum256(data) != m.Sum {
		p.damaged.Store(true)
		return false
	}
	b.Write(data)
	p.used.Store(true)
	return true
}

// maxPack bounds one pack, in bytes: what a larger site has beyond it is
// compressed again each time, but others' packs stay.
const maxPack = memorySize / 2

// packWriter writes a pack.
type packWriter struct {
	mu      sync.Mutex
	file    *os.File
	w       *bufio.Writer
	offset  uint64
	members []packedMember
	err     error // the first: nothing is written after it
}

// newPackWriter begins a pack in dir.
func newPackWriter(dir string) (*packWriter, error) {
	f, err := os.Create(filepath.Join(dir, rand.Text()+packSuffix))
	if err != nil {
		return nil, err
	}
	return &packWriter{file: f, w: bufio.NewWriterSize(f, 256<<10)}, nil
}

func (w *packWriter) add(key layer.MemberKey, member []byte) {
	sum := sha256.Sum256(member)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.offset+uint64(len(member)) > maxPack {
		return
	}
	if _, w.err = w.w.Write(member); w.err != nil {
		return
	}
	w.members = append(w.members, packedMember{key, sum, w.offset, uint64(len(member))})
	w.offset += uint64(len(member))
}

// close completes the pack. One that nothing was added to, or that could not be
// written, is removed. It is not synced: a pack that a crash leaves incomplete
// is not read.
func (w *packWriter) close() error {
	if w.err == nil && len(w.members) > 0 {
		w.err = w.end()
	}
	if err := w.file.Close(); w.err == nil {
		w.err = err
	}
	if w.err != nil || len(w.members) == 0 {
		os.Remove(w.file.Name())
	}
	return w.err
}

func (w *packWriter) end() error {
	index, err := binary.Append(nil, binary.LittleEndian, w.members)
	if err != nil {
		return err
	}
	end := packEnd{sha256.Sum256(index), uint64(len(w.members)), packMagic}
	if index, err = binary.Append(index, binary.LittleEndian, end); err != nil {
		return err
	}
	if _, err := w.w.Write(index); err != nil {
		return err
	}
	return w.w.Flush()
}
