package layer

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// frames passes a zstd stream on and tells of the window of each of its frames.
// A decoder is told how large one may be before it begins; a stream is many
// frames, and only the last of them may be the one that asks for a lot.
// Source: RFC 8878, 3.1.
type frames struct {
	r     io.Reader
	begin func(window uint64) error
	err   error // stays

	head   []byte      // what has come of a header, of a frame or of a block
	header zstd.Header // of the frame, once all of it has come
	inside bool        // of the frame: what comes next is a block
	skip   int64       // bytes that say nothing here
}

// Sizes of the format, in bytes.
const (
	zstdBlockHeader = 3
	zstdChecksum    = 4
)

func (f *frames) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.r.Read(p)
	if f.err = f.feed(p[:n]); f.err != nil {
		return 0, f.err
	}
	return n, err
}

// feed takes what the stream goes on with.
func (f *frames) feed(p []byte) error {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(f.skip, int64(len(p)))
			f.skip -= n
			p = p[n:]
			continue
		}
		f.head = append(f.head, p[0])
		p = p[1:]
		if f.inside {
			f.block()
		} else if err := f.frame(); err != nil {
			return err
		}
	}
	return nil
}

// frame looks at the header of a frame, of which one more byte has come.
func (f *frames) frame() error {
	err := f.header.Decode(f.head)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	case err != nil:
		return fmt.Errorf("%w: zstd: %w", ErrFormat, err)
	}
	f.head = f.head[:0]
	if f.header.Skippable {
		f.skip = int64(f.header.SkippableSize)
		return nil
	}
	f.inside = true
	return f.begin(windowOf(&f.header))
}

// block looks at the header of a block: a bit for the last one, two for its kind,
// and its size.
func (f *frames) block() {
	if len(f.head) < zstdBlockHeader {
		return
	}
	bits := uint32(f.head[0]) | uint32(f.head[1])<<8 | uint32(f.head[2])<<16
	f.head = f.head[:0]
	const repeated = 1 // one byte, that many times
	if f.skip = int64(bits >> 3); bits>>1&3 == repeated {
		f.skip = 1
	}
	if last := bits&1 == 1; last {
		f.inside = false
		if f.header.HasCheckSum {
			f.skip += zstdChecksum
		}
	}
}

// windowOf is how many bytes a frame's decoder has to keep of what it made.
func windowOf(h *zstd.Header) uint64 {
	if h.SingleSegment {
		return h.FrameContentSize
	}
	return h.WindowSize
}
