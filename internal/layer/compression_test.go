package layer

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/regfs/regfs/internal/tree"
)

func TestGzipMayEndInZeros(t *testing.T) {
	archive := tarOf(t, file("a", "hi"))
	blob := append(squeeze(t, archive[:700], "gzip"), squeeze(t, archive[700:], "gzip")...)
	for name, c := range map[string]struct {
		behind string
		want   error
	}{
		"nothing":     {"", nil},
		"zeros":       {string(make([]byte, 9000)), nil},
		"something":   {"x", ErrFormat},
		"zeros and x": {string(make([]byte, 9000)) + "x", ErrFormat},
	} {
		blob := append(bytes.Clone(blob), c.behind...)
		for _, r := range []io.Reader{bytes.NewReader(blob), io.MultiReader(bytes.NewReader(blob))} {
			err := Scan(tree.NewBuilder(), 0, int64(len(blob)), r, func(tree.Digest, []byte) {})
			if !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", name, err, c.want)
			}
		}
	}
}

// TestWindows: a frame that claims a large window is read, as it is where it is
// needed, and as a smaller one where less is wanted; one that claims too much is
// not.
func TestWindows(t *testing.T) {
	text := bytes.Repeat([]byte("some text "), 100_000)
	for _, window := range []int{1 << 20, 8 << 20, 32 << 20, 64 << 20} {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithEncoderLevel(zstd.SpeedBestCompression))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.ReadFrom(io.MultiReader(bytes.NewReader(text))); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		for _, span := range []int64{0, int64(len(text)), maxWindow + 1} {
			r, err := decompress(bytes.NewReader(b.Bytes()), span)
			if taken := err == nil; taken != (window <= maxLargeWindow) {
				t.Errorf("window of %d, span %d: %v", window, span, err)
			}
			if err != nil {
				continue
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, text) {
				t.Errorf("window of %d, span %d: got %d bytes, %v", window, span, len(got), err)
			}
			r.Close()
		}
	}
	if len(large) != 0 {
		t.Errorf("%d large windows are still held", len(large))
	}
}
