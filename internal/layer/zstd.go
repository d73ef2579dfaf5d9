package layer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

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

// garbageBeside is how much garbage, in percent of what is in use, may pile up
// before the collector runs while there is a large window. It is usually as much
// as is in use, which would make of each window two.
const garbageBeside = 25

// thrifty counts the large windows, of which the first makes the collector
// thrifty and the last lets it be as it was.
var thrifty struct {
	mu     sync.Mutex // guards all below
	n      int
	before int // percent
}

func beginLarge() {
	large <- struct{}{}
	thrifty.mu.Lock()
	defer thrifty.mu.Unlock()
	if thrifty.n++; thrifty.n == 1 {
		thrifty.before = debug.SetGCPercent(garbageBeside)
	}
}

func endLarge() {
	thrifty.mu.Lock()
	defer thrifty.mu.Unlock()
	if thrifty.n--; thrifty.n == 0 {
		debug.SetGCPercent(thrifty.before)
	}
	<-large
}

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
		return openZstd(b, maxWindow, 0, func() {})
	case span > 0 && span <= maxWindow && !h.SingleSegment:
		head = append(bytes.Clone(head[:5]), eightMiB)
		_, _ = b.Discard(len(head)) // they were peeked at
		return openZstd(io.MultiReader(bytes.NewReader(head), b), maxWindow, 0, func() {})
	}
	beginLarge()
	return openZstd(b, maxLargeWindow, int(h.WindowSize)*(100+garbageBeside)/100, endLarge)
}

// window is how many bytes a reader that decompress gave costs for what it keeps
// of what it read, if that is a lot.
func window(r io.Reader) int {
	if z, ok := r.(*zstdReader); ok {
		return z.window
	}
	return 0
}

// zstdReader is closed once.
type zstdReader struct {
	*zstd.Decoder
	window  int
	release func()
}

func openZstd(r io.Reader, most uint64, window int, release func()) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(most), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		release()
		return nil, fmt.Errorf("%w: zstd: %w", ErrFormat, err)
	}
	return &zstdReader{z, window, release}, nil
}

func (z *zstdReader) Close() error {
	z.Decoder.Close()
	z.release()
	return nil
}
