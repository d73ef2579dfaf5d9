package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// hostileBlobs are layers as they lie in the registry, packed to cost more than
// they hold.
func hostileBlobs(t testing.TB) map[string][]byte {
	t.Helper()
	const allowed = 256 << 20 // what any layer may unpack to
	bomb := craft(tarBlock{name: "f", content: strings.Repeat("\x00", allowed)})
	// A zstd frame that asks for a window of 10 + n powers of two, and is empty.
	window := func(n byte) []byte { return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, n << 3, 1, 0, 0} }
	part := compress(t, make([]byte, allowed/64), "zstd")
	return map[string][]byte{
		"gzip-bomb":        compress(t, bomb, "gzip"),
		"zstd-bomb":        compress(t, bomb, "zstd"),
		"bomb-of-frames":   append(compress(t, craft(tarBlock{name: "f", content: "x"}), "zstd"), bytes.Repeat(part, 65)...),
		"window-of-128MiB": window(17),
		"window-of-512MiB": window(19),
		"window-of-2TiB":   window(31),
	}
}

// TestAChainOfLinksHasAnEnd: 40 links lead to a file, 41 to nothing.
func TestAChainOfLinksHasAnEnd(t *testing.T) {
	reg := startRegistry(t)
	blocks := []tarBlock{{name: "0", content: "the end"}}
	for i := range 45 {
		blocks = append(blocks, tarBlock{name: fmt.Sprint(i + 1), kind: '2', link: fmt.Sprint(i)})
	}
	blocks = append(blocks, tarBlock{name: "loop", kind: '2', link: "other"}, tarBlock{name: "other", kind: '2', link: "loop"})
	reg.putImage(t, "links", "v1", imageConfig(), ociPart{mediaType: plainLayer, data: craft(blocks...)})
	d := mount(t, reg.host, never)
	web := startNginx(t, d.dir)
	for name, want := range map[string]int{"1": 200, "39": 200, "40": 200, "41": 404, "45": 404, "loop": 404, "loop/x": 404} {
		a := fetch(t, web.url+"/links/v1/"+name)
		if a.status != want || want == 200 && string(a.body) != "the end" {
			t.Errorf("link %s through nginx: got %d %q, want %d", name, a.status, a.body, want)
		}
		if _, err := os.ReadFile(d.path("links/v1", name)); (err == nil) != (want == 200) || err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("link %s: got %v, want what is a %d", name, err, want)
		}
	}
}

// TestNothingOfAFileIsKeptButItsBytes: set-user-id and other bits, owners,
// devices' numbers and attributes of an archive do not reach the mount.
func TestNothingOfAFileIsKeptButItsBytes(t *testing.T) {
	reg := startRegistry(t)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, mode := range map[string]int64{"setuid": 0o4755, "setgid": 0o2755, "sticky": 0o1777, "secret": 0, "all": 0o7777} {
		must(t, w.WriteHeader(&tar.Header{
			Name: name, Typeflag: tar.TypeReg, Mode: mode, Uid: 1000, Gid: 1000, Uname: "somebody", Size: 1,
			PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\xff\x00\x00\x00", "SCHILY.xattr.user.x": "y"},
		}))
		_, err := w.Write([]byte("x"))
		must(t, err)
	}
	must(t, w.WriteHeader(&tar.Header{Name: "folder/", Typeflag: tar.TypeDir, Mode: 0o7777, Uid: 1000}))
	must(t, w.Close())
	reg.putImage(t, "modes", "v1", imageConfig(), ociPart{mediaType: plainLayer, data: archive.Bytes()})
	d := mount(t, reg.host, never)
	for name, want := range map[string]uint32{
		"setuid": unix.S_IFREG | 0o444, "setgid": unix.S_IFREG | 0o444, "sticky": unix.S_IFREG | 0o444,
		"secret": unix.S_IFREG | 0o444, "all": unix.S_IFREG | 0o444, "folder": unix.S_IFDIR | 0o555,
	} {
		file := d.path("modes/v1", name)
		var st unix.Stat_t
		must(t, ignoringEINTR(func() error { return unix.Stat(file, &st) }))
		if st.Mode != want || st.Uid != 0 || st.Gid != 0 {
			t.Errorf("%s: got mode %o of user %d and group %d, want %o of root", name, st.Mode, st.Uid, st.Gid, want)
		}
		for _, attribute := range []string{"security.capability", "user.x", "trusted.overlay.opaque"} {
			n := 0
			err := ignoringEINTR(func() (err error) { n, err = unix.Getxattr(file, attribute, make([]byte, 100)); return err })
			if !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
				t.Errorf("%s: attribute %s: got %d bytes, %v", name, attribute, n, err)
			}
		}
		n := 0
		err := ignoringEINTR(func() (err error) { n, err = unix.Listxattr(file, make([]byte, 1000)); return err })
		if n > 0 || err != nil && !errors.Is(err, unix.ENOTSUP) {
			t.Errorf("%s: attributes: got %d bytes, %v", name, n, err)
		}
	}
}

// TestEveryFlippedBitOfAManifestIsFound flips a bit at every hundredth byte of an
// index that a tag names and of the manifest that it names.
func TestEveryFlippedBitOfAManifestIsFound(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	doc := reg.putImage(t, "my-app", "image", imageConfig(), ociPart{mediaType: gzipLayer, data: s.tarGz(t)})
	const every = 100
	proxy := startFaultProxy(t, reg.host)
	d := mount(t, proxy.host(), never)
	for what, matches := range map[string]func(tag string) func(*http.Request) bool{
		"by its tag":    manifestOf,
		"by its digest": func(string) func(*http.Request) bool { return manifestOf(digest.FromBytes(doc).String()) },
	} {
		for at := 0; at < len(doc); at += every {
			tag := strings.ReplaceAll(fmt.Sprintf("%s-%d", what, at), " ", "-")
			entry := entryOf(typeManifest, doc, "")
			entry["annotations"] = map[string]string{"tag": tag} // one that is bad is not asked for again at once
			index := reg.putIndex(t, "my-app", tag, entry)
			spoilt := proxy.spoil(matches(tag), 0, altered(true, func(r *reply) {
				r.body = bytes.Clone(r.body)
				r.body[at%len(r.body)] ^= 0x01
			}))
			name := d.path("my-app", tag, "index.html")
			if _, err := os.ReadFile(name); !errors.Is(err, syscall.EIO) {
				t.Errorf("a flipped bit in a document of %d bytes, asked for %s, at %d: got %v, want %v", len(index), what, at, err, syscall.EIO)
			}
			if len(proxy.seen(spoilt)) == 0 {
				t.Errorf("nobody asked for it %s", what)
			}
			proxy.heal()
		}
	}
	reg.putIndex(t, "my-app", "good", entryOf(typeManifest, doc, ""))
	waitFor(t, d.path("my-app/good/index.html"), s["index.html"])
}

// TestEndlessDocumentsAreCut: a manifest or a configuration that does not end is
// an error as soon as it is longer than any may be.
func TestEndlessDocumentsAreCut(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "good", "v1")
	config := ociPart{mediaType: typeConfig, data: []byte(`{"rootDir":"."}`)}
	reg.putImage(t, "endless", "v1", config, ociPart{mediaType: gzipLayer, data: s.tarGz(t)})
	for what, match := range map[string]func(*http.Request) bool{
		"manifest":      manifestOf("v1"),
		"configuration": blobOf(digest.FromBytes(config.data).String()),
	} {
		t.Run(what, func(t *testing.T) {
			proxy := startFaultProxy(t, reg.host)
			d := mount(t, proxy.host(), never)
			wantFile(t, d.path("good/v1/index.html"), s["index.html"])
			before := memoryOf(t, d)
			var sent atomic.Int64
			proxy.spoil(match, 0, endless(&sent))
			if _, err := os.ReadFile(d.path("endless/v1/index.html")); !errors.Is(err, syscall.EIO) {
				t.Errorf("got %v, want %v", err, syscall.EIO)
			}
			// Three tries of 4 MiB, and what lies between the two on the way.
			if got := sent.Load(); got == 0 || got > 32<<20 {
				t.Errorf("%d bytes were taken, want some and no more than %d", got, 32<<20)
			}
			if grown := mostMemoryOf(t, d) - before; grown > 64<<10 {
				t.Errorf("the daemon grew by %d MiB", grown>>10)
			}
			proxy.heal()
			waitFor(t, d.path("endless/v1/index.html"), s["index.html"])
			wantFile(t, d.path("good/v1/index.html"), s["index.html"])
		})
	}
}

// endless answers with spaces until nobody takes them any more, and counts them.
func endless(sent *atomic.Int64) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ *faultProxy) {
		w.Header().Set("Content-Type", typeManifest)
		spaces := bytes.Repeat([]byte(" "), 64<<10)
		for {
			n, err := w.Write(spaces)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}
}

// ignoringEINTR calls again what was interrupted, as package os does: the runtime
// sends its own threads signals, and a mount lets go of whoever is sent one.
func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
