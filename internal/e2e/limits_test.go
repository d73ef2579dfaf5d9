package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// crowded is a layer of n empty files, packed, in names that look random: others
// pack so well that the layer is refused for what it unpacks to.
func crowded(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	must(t, err)
	for i := range n {
		_, err := z.Write(tarBlock{name: crowdedName(i)}.bytes())
		must(t, err)
	}
	_, err = z.Write(make([]byte, 2*blockSize))
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}

func crowdedName(i int) string { return fmt.Sprintf("%08x", uint32(i)*2654435761) } // odd: no two are equal

// TestAMillionNamesCostLittle shows a layer of many files, and one of more than
// are taken, of which nothing is shown. Neither keeps more memory than its names
// are worth: 100 bytes each of what is shown.
func TestAMillionNamesCostLittle(t *testing.T) {
	once(t)
	const many, tooMany = 1 << 18, 1<<20 + 1
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "good", "v1")
	for repo, n := range map[string]int{"many": many, "too-many": tooMany} {
		reg.putImage(t, repo, "v1", imageConfig(), ociPart{mediaType: gzipLayer, data: crowded(t, n)})
	}
	d := mount(t, reg.host, never)
	dir := smallSite().write(t)
	compareTree(t, dir, d.path("good/v1"))
	before := memoryOf(t, d)
	wantBack := func(what string, limit int) {
		t.Helper()
		// What is kept of a version is written behind, and then given back.
		if !eventually(startLimit, func() bool { return memoryOf(t, d)-before < limit>>10 }) {
			t.Errorf("%s: the daemon grew by %d MiB for good, want %d at most", what, (memoryOf(t, d)-before)>>10, limit>>20)
		}
	}
	if _, err := os.Stat(d.path("too-many/v1", crowdedName(0))); !errors.Is(err, syscall.EIO) {
		t.Errorf("a name among too many: got %v, want %v", err, syscall.EIO)
	}
	wantBack("too many names", 16<<20)
	for _, i := range []int{0, many / 2, many - 1} {
		if _, err := os.Stat(d.path("many/v1", crowdedName(i))); err != nil {
			t.Error(err)
		}
	}
	wantBack("many names", 16<<20+100*many)
	compareTree(t, dir, d.path("good/v1"))
}
