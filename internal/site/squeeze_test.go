package site

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"
)

// flatTree is the flat form of a tree of files in folders of a hundred.
func flatTree(t testing.TB, files int) []byte {
	t.Helper()
	var b bytes.Buffer
	for i := range files { // of the shape of the tables: numbers that grow, digests, names
		sum := sha256.Sum256(fmt.Append(nil, i))
		fmt.Fprintf(&b, "%08d%032d%s%s", i, i/100, sum, sum[:8])
	}
	for i := range files {
		fmt.Fprintf(&b, "page-%d.html", i)
	}
	return b.Bytes()
}

func TestATreeIsSqueezedAndBack(t *testing.T) {
	for _, files := range []int{0, 1, 100, 200_000} {
		flat := flatTree(t, files)
		squeezed := squeeze([]byte("head\n"), flat)
		got, err := unsqueeze(bytes.TrimPrefix(squeezed, []byte("head\n")))
		if err != nil || !bytes.Equal(got, flat) {
			t.Fatalf("%d files: %d bytes come back as %d, %v", files, len(flat), len(got), err)
		}
		if files > 1000 && len(squeezed) > len(flat)*2/3 {
			t.Errorf("%d files: %d bytes are still %d", files, len(flat), len(squeezed))
		}
		if files > 0 {
			if got, err := unsqueeze(squeezed[5 : len(squeezed)-1]); err == nil {
				t.Errorf("%d files: cut short it is %d bytes", files, len(got))
			}
		}
	}
	// A frame that claims more than any tree has: RFC 8878, 3.1.1.1.
	claim := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 1, 0, 0, 0}
	if _, err := unsqueeze(claim); err == nil {
		t.Error("a frame of 4 GiB is taken")
	}
}

func BenchmarkSqueeze(b *testing.B) {
	flat := flatTree(b, 8000)
	b.SetBytes(int64(len(flat)))
	b.ReportAllocs()
	for b.Loop() {
		squeeze(nil, flat)
	}
}

func BenchmarkUnsqueeze(b *testing.B) {
	squeezed := squeeze(nil, flatTree(b, 8000))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := unsqueeze(squeezed); err != nil {
			b.Fatal(err)
		}
	}
}
