package layer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// decompress reads gzip, zstd or neither, by what the bytes are; media types
// are often wrong. span is how many bytes of the result are wanted, 0 for all of
// them. It asks hold, which may be nil, before it takes a lot of memory. The result
// must be closed. Bytes that are in memory already are not copied.
func decompress(r io.Reader, span int64, hold hold) (io.ReadCloser, error) {
	b, magic, err := peek(r)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		z := &gunzip{Reader: inflaters.Get().(*gzip.Reader), from: b}
		if err := z.begin(); err != nil {
			inflaters.Put(z.Reader)
			return nil, err
		}
		return z, nil
	case bytes.HasPrefix(magic, zstdMagic):
		return unzstd(b, span, hold)
	}
	return io.NopCloser(b), nil
}

// byteScanner reads no more of a stream than is taken from it.
type byteScanner interface {
	io.Reader
	io.ByteScanner
}

// peek gives the first bytes of r, and a reader of all of it.
func peek(r io.Reader) (byteScanner, []byte, error) {
	magic := make([]byte, len(zstdMagic))
	if b, ok := r.(*bytes.Reader); ok {
		n, _ := b.ReadAt(magic, b.Size()-int64(b.Len())) // fewer are no error
		return b, magic[:n], nil
	}
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(len(zstdMagic))
	if err == io.EOF {
		err = nil
	}
	return b, magic, err
}

// inflaters are kept for the next member: each has some 40 KiB of tables, which
// is more than most members.
var inflaters = sync.Pool{New: func() any { return new(gzip.Reader) }}

// gunzip reads the members of a gzip file one after another. It gives its reader
// back when it is closed, which must be once.
type gunzip struct {
	*gzip.Reader
	from byteScanner
	err  error // stays
}

// begin begins with the next member.
func (z *gunzip) begin() error {
	if err := z.Reset(z.from); err != nil {
		return fmt.Errorf("%w: gzip: %w", ErrFormat, err)
	}
	z.Multistream(false)
	return nil
}

// Read reads on in the next member where one ends. Zeros behind the last are no
// member: tar pads to whole records after it has compressed, and gzip and pigz
// pass over them.
func (z *gunzip) Read(p []byte) (n int, err error) {
	if z.err != nil {
		return 0, z.err
	}
	if n, z.err = z.Reader.Read(p); z.err == io.EOF { //nolint:errorlint // only the bare one is an end
		z.err = z.next()
	}
	return n, z.err
}

// next goes on behind a member; the error is io.EOF if there is nothing.
func (z *gunzip) next() error {
	switch c, err := z.from.ReadByte(); {
	case err != nil:
		return err
	case c == 0:
		return onlyZeros(z.from)
	}
	if err := z.from.UnreadByte(); err != nil {
		return err
	}
	return z.begin()
}

// onlyZeros reads to the end of r. If all was zeros, the error is io.EOF.
func onlyZeros(r io.Reader) error {
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Read(buf)
		if !zeros(buf[:n]) {
			return fmt.Errorf("%w: gzip: something follows its end", ErrFormat)
		}
		if err != nil {
			return err
		}
	}
}

func (z *gunzip) Close() error {
	err := z.Reader.Close()
	inflaters.Put(z.Reader)
	return err
}
