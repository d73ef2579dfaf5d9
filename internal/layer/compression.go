package layer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds what a zstd frame may ask to be allocated, in bytes: the
// window of zstd's highest ordinary level. A ten-byte frame can claim 512 MiB.
const maxWindow = 8 << 20

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// decompress reads gzip, zstd or neither, by what the bytes are; media types
// are often wrong. The result must be closed. Bytes that are in memory already
// are not copied.
func decompress(r io.Reader) (io.ReadCloser, error) {
	b, magic, err := peek(r)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		z := &gunzip{inflaters.Get().(*gzip.Reader)}
		if err := z.Reset(b); err != nil {
			inflaters.Put(z.Reader)
			return nil, fmt.Errorf("%w: gzip: %w", ErrFormat, err)
		}
		return z, nil
	case bytes.HasPrefix(magic, zstdMagic):
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("%w: zstd: %w", ErrFormat, err)
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(b), nil
}

// peek gives the first bytes of r, and a reader of all of it.
func peek(r io.Reader) (io.Reader, []byte, error) {
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

// gunzip gives its reader back when it is closed, which must be once.
type gunzip struct{ *gzip.Reader }

func (z *gunzip) Close() error {
	err := z.Reader.Close()
	inflaters.Put(z.Reader)
	return err
}
