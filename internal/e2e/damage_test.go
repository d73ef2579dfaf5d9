package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"syscall"
	"testing"
)

// TestADamagedChunkIsNeverServed flips one bit of a layer where the registry
// keeps it, in the middle of one file's content, and repairs it later.
func TestADamagedChunkIsNeverServed(t *testing.T) {
	for name, s := range map[string]site{
		"read whole":     manyFiles(300, 12<<10),
		"read by ranges": manyFiles(2000, 12<<10),
	} {
		t.Run(name, func(t *testing.T) {
			reg := startRegistry(t)
			s.publish(t, reg.host, "my-app", "v1")
			bad, good := "d01/f0150.bin", "d02/f0299.bin"
			blob := reg.blob(reg.layer(t, "my-app", "v1").Digest)
			offset := findIn(t, blob, s[bad])
			flip(t, blob, offset)
			d := mount(t, reg.host, quick)
			web := startNginx(t, d.dir)

			for range 2 { // the second time tells what the first has cached
				if _, err := os.ReadFile(d.path("my-app/v1", bad)); !errors.Is(err, syscall.EIO) {
					t.Errorf("the damaged file: got %v, want %v", err, syscall.EIO)
				}
				if got := fetch(t, web.url+"/my-app/v1/"+bad).status; got != http.StatusServiceUnavailable {
					t.Errorf("the damaged file through nginx: got %d, want 503", got)
				}
				wantFile(t, d.path("my-app/v1", good), s[good])
			}
			wantRightOrNothing(t, d.path("my-app/v1"), s)

			flip(t, blob, offset)
			waitFor(t, d.path("my-app/v1", bad), s[bad])
			wantSite(t, d.path("my-app/v1"), s)
		})
	}
}

// wantRightOrNothing reads all files of s below dir: an error is fine, other
// bytes are not.
func wantRightOrNothing(t testing.TB, dir string, s site) {
	t.Helper()
	failed := 0
	for _, name := range s.names() {
		got, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			failed++
		} else if !bytes.Equal(got, s[name]) {
			t.Errorf("%s: got wrong bytes and no error", name)
		}
	}
	// One compressed member, 64 KiB of small files, is lost; not the site.
	if failed > 8 {
		t.Errorf("one flipped bit: got %d of %d files that cannot be read, want those of one chunk", failed, len(s))
	}
}

// findIn gives the offset in file of the middle of content: noise is stored as
// it is, because no compressor makes it smaller.
func findIn(t testing.TB, file string, content []byte) int64 {
	t.Helper()
	blob, err := os.ReadFile(file)
	must(t, err)
	middle := content[len(content)/2:][:64]
	i := bytes.Index(blob, middle)
	if i < 0 {
		t.Fatalf("%s does not hold the content as it is", file)
	}
	return int64(i)
}

// flip inverts one bit of the byte at offset.
func flip(t testing.TB, file string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, offset)
	must(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b, offset)
	must(t, err)
}
