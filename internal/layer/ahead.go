package layer

import (
	"errors"
	"io"
)

// Reading ahead goes in blocks of aheadSize bytes, at most aheadBlocks of which
// wait to be taken: enough that neither side waits for the other's next step.
const (
	aheadSize   = 128 << 10
	aheadBlocks = 4
)

// ahead reads from another reader in a goroutine of its own, so that what that
// one does (decompressing, hashing) and what is made of the bytes (parsing) each
// have a processor.
type ahead struct {
	blocks chan []byte // read, closed at the end of the stream
	spare  chan []byte // taken
	quit   chan struct{}
	err    error // how the stream ended; readable when blocks is closed
	block  []byte
	rest   []byte // of block
}

// readAhead begins to read r. The result must be stopped; when stop returns r
// is not read any more.
func readAhead(r io.Reader) *ahead {
	a := &ahead{
		blocks: make(chan []byte, aheadBlocks), spare: make(chan []byte, aheadBlocks+2),
		quit: make(chan struct{}),
	}
	for range aheadBlocks + 1 {
		a.spare <- nil
	}
	go a.read(r)
	return a
}

func (a *ahead) read(r io.Reader) {
	defer close(a.blocks)
	for a.err == nil {
		var b []byte
		select {
		case b = <-a.spare:
		case <-a.quit:
			return
		}
		if b == nil {
			b = make([]byte, aheadSize)
		}
		var n int
		if n, a.err = io.ReadFull(r, b); errors.Is(a.err, io.ErrUnexpectedEOF) {
			a.err = io.EOF
		}
		if n > 0 {
			a.blocks <- b[:n] // stop takes what nobody reads
		}
	}
}

// Read gives what was read ahead.
func (a *ahead) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		if a.block != nil {
			a.spare <- a.block[:aheadSize]
		}
		b, ok := <-a.blocks
		if a.block, a.rest = b, b; !ok {
			return 0, a.err
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// stop ends the reading.
func (a *ahead) stop() {
	close(a.quit)
	for range a.blocks {
	}
}
