package layer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// What a zstd frame may ask to be allocated. A ten-byte frame can claim 512 MiB.
const (
	// maxWindow is the window of zstd's highest ordinary level, in bytes; RFC
	// 8878 wants readers to take as much.
	maxWindow = 8 << 20
	// maxLargeWindow is what buildah's best level writes.
	maxLargeWindow = 32 << 20
	// largeAtOnce is how many frames may have more than maxWindow at the same
	// time, in the whole process.
	largeAtOnce = 2
	// eightMiB is how a frame's header says maxWindow, in its sixth byte: the
	// exponent less ten, and no eighths. Source: RFC 8878, 3.1.1.1.2.
	eightMiB = (23 - 10) << 3
)

var large = make(chan struct{}, largeAtOnce)

// unzstd reads zstd. Whoever wants only a beginning that is shorter than the
// window needs no window that is longer, whatever the header says: nothing in
// there refers to what lies further back. It waits for its turn where a large
// window is needed, or might be in a later frame.
func unzstd(r io.Reader, span int64) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(zstd.HeaderMaxSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	var h zstd.Header
	if err := h.Decode(head); err != nil {
		return nil, fmt.Errorf("%w: zstd: %w", ErrFormat, err)
	}
	switch fits := h.WindowSize <= maxWindow; {
	case h.WindowSize > maxLargeWindow:
		return nil, fmt.Errorf("%w: zstd: a window of %d bytes, more than %d", ErrFormat, h.WindowSize, maxLargeWindow)
	case span > 0 && fits:
		return openZstd(b, maxWindow, func() {})
	case span > 0 && span <= maxWindow && !h.SingleSegment:
		head = append(bytes.Clone(head[:5]), eightMiB)
		_, _ = b.Discard(len(head)) // they were peeked at
		return openZstd(io.MultiReader(bytes.NewReader(head), b), maxWindow, func() {})
	}
	large <- struct{}{}
	return openZstd(b, maxLargeWindow, func() { <-large })
}

// zstdReader is closed once.
type zstdReader struct {
	*zstd.Decoder
	release func()
}

func openZstd(r io.Reader, window uint64, release func()) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		release()
		return nil, fmt.Errorf("%w: zstd: %w", ErrFormat, err)
	}
	return &zstdReader{z, release}, nil
}

func (z *zstdReader) Close() error {
	z.Decoder.Close()
	z.release()
	return nil
}
