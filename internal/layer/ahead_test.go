package layer

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func TestReadingAheadGivesTheSameBytesAndTheSameEnd(t *testing.T) {
	torn := errors.New("torn")
	for _, size := range []int{0, 1, aheadSize - 1, aheadSize, aheadSize + 1, 9*aheadSize + 7} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(rand.Uint32())
		}
		for _, end := range []error{nil, torn} {
			var r io.Reader = bytes.NewReader(want)
			if end != nil {
				r = io.MultiReader(r, iotest.ErrReader(end))
			}
			a := readAhead(r)
			got, err := io.ReadAll(a)
			a.stop()
			if !bytes.Equal(got, want) || !errors.Is(err, end) {
				t.Errorf("%d bytes, then %v: got %d bytes (equal: %v), then %v", size, end, len(got), bytes.Equal(got, want), err)
			}
		}
	}
}

// TestWhoStopsLeavesNothingReading also shows that nothing waits for ever for
// somebody to take what was read.
func TestWhoStopsLeavesNothingReading(t *testing.T) {
	r := &endless{}
	a := readAhead(r)
	if _, err := io.ReadFull(a, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	a.stop()
	if n := r.reads; n > 100*aheadBlocks {
		t.Errorf("%d reads for ten bytes", n)
	}
}

// endless counts without a lock: the race detector sees a read after stop.
type endless struct{ reads int }

func (e *endless) Read(p []byte) (int, error) {
	e.reads++
	return len(p), nil
}
