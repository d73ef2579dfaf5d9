package layer

import (
	"bufio"
	"bytes"
	"errors"
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
	// largeAtOnce is how many streams may have more than maxWindow at the same
	// time, in the whole process.
	largeAtOnce = 2
	// eightMiB is how a frame's header says maxWindow, in its sixth byte: the
	// exponent less ten, and no eighths. Source: RFC 8878, 3.1.1.1.2.
	eightMiB = (23 - 10) << 3
	// garbageBeside is how much garbage, in percent of what is in use, may pile up
	// before the collector runs while there is a large window. It is usually as
	// much as is in use, which would make of each window two.
	garbageBeside = 25
)

// hold is asked before that many bytes are taken for longer, and told with a
// negative number when they are given back.
type hold func(bytes int) error

// zstdReader reads zstd. It is closed once.
type zstdReader struct {
	*zstd.Decoder
	frames frames
	hold   hold // may be nil
	held   int  // bytes for a large window, 0 while there was none
}

// unzstd reads zstd. Whoever wants only a beginning that is shorter than the
// window needs no window that is longer, whatever the header says: nothing in
// there refers to what lies further back. span is how long it is, 0 for all.
// Where a large window is needed after all, it is asked for and waited for.
func unzstd(r io.Reader, span int64, hold hold) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(zstd.HeaderMaxSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var h zstd.Header
	if err := h.Decode(head); err != nil {
		return nil, fmt.Errorf("%w: zstd: %w", ErrFormat, err)
	}
	window := windowOf(&h)
	if window > maxLargeWindow {
		return nil, tooLarge(window)
	}
	in := io.Reader(b)
	if window > maxWindow && span > 0 && span <= maxWindow && !h.SingleSegment {
		head = append(bytes.Clone(head[:5]), eightMiB)
		_, _ = b.Discard(len(head)) // they were peeked at
		in = io.MultiReader(bytes.NewReader(head), b)
	}
	z := &zstdReader{hold: hold}
	z.frames = frames{r: in, begin: z.begin}
	z.Decoder, err = zstd.NewReader(&z.frames, zstd.WithDecoderMaxWindow(maxLargeWindow), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("%w: zstd: %w", ErrFormat, err)
	}
	return z, nil
}

func tooLarge(window uint64) error {
	return fmt.Errorf("%w: zstd: a window of %d bytes, more than %d", ErrFormat, window, maxLargeWindow)
}

// begin is told of the window of each frame before the decoder is.
func (z *zstdReader) begin(window uint64) error {
	switch {
	case window <= maxWindow:
		return nil
	case window > maxLargeWindow:
		return tooLarge(window)
	}
	if z.held == 0 {
		beginLarge()
	}
	more := int(window)*(100+garbageBeside)/100 - z.held
	if more <= 0 {
		return nil
	}
	z.held += more
	if z.hold == nil {
		return nil
	}
	return z.hold(more)
}

// Read tells what is wrong with a frame in our words.
func (z *zstdReader) Read(p []byte) (int, error) {
	n, err := z.Decoder.Read(p)
	if err != nil && z.frames.err != nil {
		err = z.frames.err
	}
	return n, err
}

func (z *zstdReader) Close() error {
	z.Decoder.Close()
	if z.held == 0 {
		return nil
	}
	endLarge()
	if z.hold == nil {
		return nil
	}
	return z.hold(-z.held)
}

var large = make(chan struct{}, largeAtOnce)

// thrifty counts the streams with a large window, of which the first makes the
// collector thrifty and the last lets it be as it was.
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
