package e2e

import (
	"bytes"
	"fmt"
	"os"
	"testing"
)

// TestOneSmallFileOfALargeSiteIsAllThatIsRead counts, at the registry, what it
// costs to read one small file from an empty cache, and again.
func TestOneSmallFileOfALargeSiteIsAllThatIsRead(t *testing.T) {
	for name, s := range map[string]site{
		// Far above the size up to which a blob is read whole.
		"3000 files": manyFiles(3000, 12<<10),
		"300 MB":     manyFiles(30, 10<<20).with(site{"small.html": []byte("<h1>small</h1>\n")}),
	} {
		t.Run(name, func(t *testing.T) {
			reg := startRegistry(t)
			s.publish(t, reg.host, "my-app", "v1")
			relay := startRelay(t, reg.host)
			d := mount(t, relay.host, never)
			file := s.names()[len(s)-1]
			layer := reg.layer(t, "my-app", "v1")

			mark := relay.mark()
			wantFile(t, d.path("my-app/v1", file), s[file])
			cost := bytesOf(relay.since(mark, ""))
			t.Logf("%d bytes of a layer of %d, %.2f %%", cost, layer.Size, 100*float64(cost)/float64(layer.Size))
			if cost > layer.Size/50 {
				t.Errorf("%s of %d bytes cost %d bytes: more than 2 %% of the layer's %d", file, len(s[file]), cost, layer.Size)
			}

			mark = relay.mark()
			wantFile(t, d.path("my-app/v1", file), s[file])
			if again := relay.since(mark, ""); len(again) != 0 {
				t.Errorf("the second read: got requests %v, want none", again)
			}
		})
	}
}

// TestANewVersionCostsWhatIsNewInIt reads all of v1, then all of v2, in which
// one file differs.
func TestANewVersionCostsWhatIsNewInIt(t *testing.T) {
	reg := startRegistry(t)
	s := manyFiles(2000, 12<<10)
	changed := "d07/f0703.bin"
	v2 := s.with(site{changed: noise(99, 12<<10)})
	s.publish(t, reg.host, "my-app", "v1")
	v2.publish(t, reg.host, "my-app", "v2")
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host, never)
	wantSite(t, d.path("my-app/v1"), s)

	mark := relay.mark()
	wantSite(t, d.path("my-app/v2"), v2)
	got := bytesOf(relay.since(mark, "blobs"))
	// A compressed member holds small neighbours too, up to 64 KiB of them.
	want := reg.layer(t, "my-app", "v2").tocSize(t) + 64<<10 + int64(len(v2[changed]))
	t.Logf("%d bytes of blobs for v2", got)
	if got > want {
		t.Errorf("reading v2: got %d bytes of blobs, want at most %d: the changed file's and the table of contents", got, want)
	}
}

// TestRangesOfALargeFileTransferWhatTheyCover asks nginx for parts of a video of
// 100 MB, and for the same ones again after the daemon was killed. A part takes
// the chunks that it touches, the first ever also the one by which the file is
// known to be there.
func TestRangesOfALargeFileTransferWhatTheyCover(t *testing.T) {
	once(t)
	const chunk, part = 4 << 20, 1 << 20
	reg := startRegistry(t)
	video := noise(7, 100<<20)
	site{"video.mp4": video, "index.html": []byte("<video src=video.mp4>")}.publish(t, reg.host, "my-app", "v1")
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host, never)
	n := startNginx(t, d.dir)
	toc := reg.layer(t, "my-app", "v1").tocSize(t)
	ask := func(off int) (transferred int64) {
		t.Helper()
		mark := relay.mark()
		a := fetch(t, n.url+"/my-app/v1/video.mp4", "Range", fmt.Sprintf("bytes=%d-%d", off, off+part-1))
		if a.status != 206 || !bytes.Equal(a.body, video[off:off+part]) {
			t.Fatalf("at %d: got status %d and %d bytes, want 206 and those of the video", off, a.status, len(a.body))
		}
		return bytesOf(relay.since(mark, "blobs"))
	}
	offsets := []int{50_000_000, 95_000_000, 20_000_000}
	for i, off := range offsets {
		// The part may lie in two chunks, and the kernel reads on for at most as
		// much again. What is compressed is a little longer.
		most := int64(3*chunk + chunk/16)
		if i == 0 {
			most += chunk + toc
		}
		got := ask(off)
		t.Logf("%d bytes for 1 MiB at %d", got, off)
		if got > most {
			t.Errorf("1 MiB at %d: got %d bytes, want at most %d", off, got, most)
		}
	}
	d.waitUntilKept(t, "my-app")
	d.kill()
	d.launch(t)
	for _, off := range offsets {
		if got := ask(off); got != 0 {
			t.Errorf("1 MiB at %d after a restart: got %d bytes, want none: the chunks are here", off, got)
		}
	}
}

// wantFile reads a file, which has to hold want.
func wantFile(t testing.TB, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: got %d other bytes than the %d of the source", path, len(got), len(want))
	}
}

// wantSite reads all files of s below dir.
func wantSite(t testing.TB, dir string, s site) {
	t.Helper()
	for _, name := range s.names() {
		wantFile(t, dir+"/"+name, s[name])
	}
}
