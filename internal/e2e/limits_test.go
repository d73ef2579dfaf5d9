package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// crowded is a layer of n empty files, packed, in names that look random: others
// pack so well that the layer is refused for what it unpacks to.
func crowded(t testing.TB, n int) []byte {
	t.Helper()
	return crowdedAs(t, n, '0')
}

// crowdedAs is crowded with entries of that kind.
func crowdedAs(t testing.TB, n int, kind byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	must(t, err)
	for i := range n {
		_, err := z.Write(tarBlock{name: crowdedName(i), kind: kind, link: "f"}.bytes())
		must(t, err)
	}
	_, err = z.Write(make([]byte, 2*blockSize))
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}

// widely is crowded as zstd, by a writer that looks back as far as is allowed, but
// not in the first frame.
func widely(t testing.TB, n int) []byte {
	t.Helper()
	archive := gunzip(t, crowded(t, n))
	b := bytes.NewBuffer(compress(t, archive[:blockSize], "zstd"))
	z, err := zstd.NewWriter(b, zstd.WithWindowSize(32<<20))
	must(t, err)
	_, err = io.Copy(z, bytes.NewReader(archive[blockSize:]))
	must(t, errors.Join(err, z.Close()))
	return b.Bytes()
}

func crowdedName(i int) string { return fmt.Sprintf("%08x", uint32(i)*2654435761) } // odd: no two are equal

// crowdedTable is a table of contents of n files, each a byte of the only member,
// then more entries.
func crowdedTable(n int, more string) string {
	var b strings.Builder
	b.WriteString(`{"version":1,"entries":[`)
	for i := range n {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint32(nil, uint32(i)))
		fmt.Fprintf(&b, `{"name":%q,"type":"reg","size":1,"innerOffset":%d,"chunkDigest":"sha256:%x"},`, crowdedName(i), i, sum)
	}
	return strings.TrimSuffix(b.String()+more, ",") + "]}"
}

// TestAMillionNamesCostLittle shows versions with too many names, or with
// something wrong behind many, of which nothing is shown, and a layer of many
// files. What is refused costs 64 MiB at the height and nothing for good; what is
// shown 100 bytes a name.
func TestAMillionNamesCostLittle(t *testing.T) {
	once(t)
	const many, fits, tooMany = 1 << 18, 400_000, 1<<20 + 1
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "good", "v1")
	put := func(repo string, layers ...ociPart) { reg.putImage(t, repo, "v1", imageConfig(), layers...) }
	put("many", ociPart{mediaType: gzipLayer, data: crowded(t, many)})
	put("names", ociPart{mediaType: gzipLayer, data: crowded(t, tooMany)})
	put("upper", ociPart{mediaType: plainLayer, data: craft(tarBlock{name: "f"})}, ociPart{mediaType: gzipLayer, data: crowded(t, tooMany)})
	put("links", ociPart{mediaType: gzipLayer, data: crowdedAs(t, tooMany, '1')})
	put("window", ociPart{mediaType: plainLayer, data: widely(t, 450_000)})
	put("chunks", tableLayer(t, crowdedTable(tooMany, "")))
	put("end", tableLayer(t, crowdedTable(fits, `{"name":"../x","type":"dir"}`)))
	put("overlap", tableLayer(t, crowdedTable(fits, `{"name":"x","type":"reg","size":1,"chunkDigest":"sha256:`+strings.Repeat("0", 64)+`"}`)))
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
	for _, c := range []struct{ repo, want string }{
		{"names", "more than 1048576 names"}, {"upper", "more than 1048576 entries"}, {"links", "more than 1048576 entries"}, {"window", "they take more than"}, {"chunks", "they take more than 48 MiB"},
		{"end", "leads out of the layer"}, {"overlap", "overlap those of another"},
	} {
		forgetHeight(t, d)
		if _, err := os.Stat(d.path(c.repo, "v1", crowdedName(0))); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: got %v, want %v", c.repo, err, syscall.EIO)
		}
		if grown := mostMemoryOf(t, d) - before; grown > 64<<10 {
			t.Errorf("%s: the daemon grew by %d MiB at its height, want 64 at most", c.repo, grown>>10)
		} else {
			t.Logf("%s: %d MiB at its height", c.repo, grown>>10)
		}
		wantBack(c.repo, 16<<20)
		if !eventually(startLimit, func() bool { // the lookup may have ended before
			log, err := os.ReadFile(d.log)
			return err == nil && strings.Contains(string(log), c.want)
		}) {
			t.Errorf("%s: the log does not say %q", c.repo, c.want)
		}
	}
	for _, i := range []int{0, many / 2, many - 1} {
		if _, err := os.Stat(d.path("many/v1", crowdedName(i))); err != nil {
			t.Error(err)
		}
	}
	wantBack("many names", 16<<20+100*many)
	compareTree(t, dir, d.path("good/v1"))
}

// forgetHeight makes mostMemoryOf begin anew. Source: proc(5), clear_refs.
func forgetHeight(t testing.TB, d *daemon) {
	t.Helper()
	must(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", d.cmd.Process.Pid), []byte("5"), 0))
}

// TestMoreNamesThanUsualAreAllowedWhereSomebodySaysSo: what is refused for its
// size says how it can be shown.
func TestMoreNamesThanUsualAreAllowedWhereSomebodySaysSo(t *testing.T) {
	const names = 40_000
	reg := startRegistry(t)
	reg.putImage(t, "many", "v1", imageConfig(), ociPart{mediaType: gzipLayer, data: crowded(t, names)})
	small := mount(t, reg.host, never, "--max-index=1MiB")
	if _, err := os.Stat(small.path("many/v1", crowdedName(0))); !errors.Is(err, syscall.EIO) {
		t.Errorf("more than --max-index: got %v, want %v", err, syscall.EIO)
	}
	if log, err := os.ReadFile(small.log); err != nil || !strings.Contains(string(log), "--max-index allows more") {
		t.Error("the log does not name --max-index")
	}
	usual := mount(t, reg.host, never)
	for i := range 100 {
		if _, err := os.Stat(usual.path("many/v1", crowdedName(i*names/100))); err != nil {
			t.Error(err)
		}
	}
}
