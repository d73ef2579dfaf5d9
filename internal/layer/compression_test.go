package layer

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

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
			r, err := decompress(bytes.NewReader(b.Bytes()), span, nil)
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

// frameOf is a zstd frame by a writer with that window.
func frameOf(t testing.TB, window int, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	// In two pieces, or the frame says how long it is in place of a window.
	_, first := z.Write(text[:len(text)/2])
	_, second := z.Write(text[len(text)/2:])
	if err := errors.Join(first, z.Flush(), second, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestALaterFrameIsLookedAtToo: what a stream needs is asked for when its frame
// comes, and given back at its end. Small ones wait for nobody.
func TestALaterFrameIsLookedAtToo(t *testing.T) {
	text := bytes.Repeat([]byte("text"), 100_000)
	small, wide, widest, tooWide := frameOf(t, 1<<20, text), frameOf(t, 16<<20, text), frameOf(t, 32<<20, text), frameOf(t, 64<<20, text)
	skippable := []byte("\x5a\x2a\x4d\x18\x03\x00\x00\x00abc")
	refusal := errors.New("no room")
	for name, c := range map[string]struct {
		frames [][]byte
		room   int
		most   int // bytes held
		want   error
	}{
		"small ones":               {[][]byte{small, skippable, small}, 0, 0, nil},
		"a wide one":               {[][]byte{small, wide, small}, 100 << 20, 20 << 20, nil},
		"and a wider one":          {[][]byte{wide, skippable, small, widest, wide}, 100 << 20, 40 << 20, nil},
		"no room for the last":     {[][]byte{small, wide, widest}, 30 << 20, 40 << 20, refusal},
		"too wide in the end":      {[][]byte{small, small, tooWide}, 100 << 20, 0, ErrFormat},
		"too wide from the start":  {[][]byte{tooWide}, 100 << 20, 0, ErrFormat},
		"something behind a frame": {[][]byte{small, []byte("something")}, 0, 0, ErrFormat},
	} {
		held, most := 0, 0
		z, err := decompress(bytes.NewReader(bytes.Join(c.frames, nil)), 0, func(n int) error {
			held += n
			most = max(most, held)
			if held > c.room {
				return refusal
			}
			return nil
		})
		if err == nil {
			_, err = io.Copy(io.Discard, z)
			if waiting := len(large) > 0; waiting != (c.most > 0) {
				t.Errorf("%s: has one of the places for large windows: %v", name, waiting)
			}
			z.Close()
		}
		if !errors.Is(err, c.want) || most != c.most || held != 0 || len(large) != 0 {
			t.Errorf("%s: got %v, %d bytes at most and %d in the end, want %v and %d", name, err, most, held, c.want, c.most)
		}
	}
}

// FuzzFrames: what the decoder reads, whatever it is made of, passes through
// unchanged, and its frames end where it ends.
func FuzzFrames(f *testing.F) {
	text := bytes.Repeat([]byte("some text "), 100)
	f.Add(append(frameOf(f, 1<<20, text), frameOf(f, 1<<10, text)...), uint8(3))
	f.Add(squeeze(f, text, "zstd"), uint8(200))
	f.Add([]byte("\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		whole, err := zstd.NewReader(bytes.NewReader(stream), zstd.WithDecoderMaxWindow(maxLargeWindow), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			t.Fatal(err)
		}
		defer whole.Close()
		const enough = 16 << 20
		if n, err := io.Copy(io.Discard, io.LimitReader(whole, enough)); err != nil || n == enough {
			return
		}
		told := uint64(0)
		z := &frames{r: iotest.OneByteReader(bytes.NewReader(stream)), begin: func(window uint64) error { told = max(told, window); return nil }}
		if step > 1 {
			z.r = &stepReader{bytes.NewReader(stream), int(step)}
		}
		got, err := io.ReadAll(z)
		if err != nil || !bytes.Equal(got, stream) || z.inside || len(z.head) > 0 || told > maxLargeWindow {
			t.Errorf("got %v, inside %v, %d bytes of a header, a window of %d", err, z.inside, len(z.head), told)
		}
	})
}

// stepReader gives a few bytes at a time.
type stepReader struct {
	r    io.Reader
	step int
}

func (s *stepReader) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.step)]) }
