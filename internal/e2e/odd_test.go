package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

// oddArchive is what nobody should write and every reader understands the same.
func oddArchive() []byte {
	return craft(
		tarBlock{name: "/slash/f", content: "absolute"}, tarBlock{name: "//two//slashes", content: "2"}, tarBlock{name: "./dot/./f", content: "dot"},
		tarBlock{name: "twice", content: "first"}, tarBlock{name: "./twice", content: "second"},
		tarBlock{name: "thrice", content: "1"}, tarBlock{name: "/thrice", content: "2"}, tarBlock{name: "thrice", content: "3"},
		tarBlock{name: "d/", kind: '5'}, tarBlock{name: "d/f", content: "in"}, tarBlock{name: "./d", kind: '5'}, tarBlock{name: "d//", kind: '5'},
		tarBlock{name: "again/f", content: "before its folder"}, tarBlock{name: "again/", kind: '5'},
		tarBlock{name: "l", kind: '2', link: "nothing"}, tarBlock{name: "l", kind: '2', link: "twice"},
		tarBlock{name: "named", content: "kept"}, tarBlock{name: "hard", kind: '1', link: "./named"}, tarBlock{name: "named", content: "new"},
		paxBlock('x', "path", strings.Repeat("n", 255)), tarBlock{name: "f", content: "longest"},
		paxBlock('x', "path", strings.Repeat("p/", 200)+"f"), tarBlock{name: "f", content: "deep"},
		tarBlock{name: "\u00e9", content: "composed"}, tarBlock{name: "e\u0301", content: "decomposed"},
		tarBlock{name: "Case", content: "upper"}, tarBlock{name: "case", content: "lower"},
		tarBlock{name: `<b>&"'`, content: "html"}, tarBlock{name: "a\nb\t\x1b[31m", content: "control"}, tarBlock{name: "\xff\xfe", content: "bytes"},
		tarBlock{name: `back\slash`, content: "backslash"}, tarBlock{name: "\u202egnp.exe", content: "right to left"}, tarBlock{name: " ", content: "blank"},
	)
}

// TestOddArchivesAreWhatUmociUnpacks: names with slashes in front, names that come
// again, names of all bytes. Whoever unpacks them agrees with the mount.
func TestOddArchivesAreWhatUmociUnpacks(t *testing.T) {
	reg := startRegistry(t)
	layer := oddArchive()
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest.FromBytes(layer).String()}},
	})
	must(t, err)
	reg.putImage(t, "odd", "v1", ociPart{mediaType: typeImage, data: config}, ociPart{mediaType: plainLayer, data: layer})
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	root := unpackImage(t, reg, "odd:v1")
	compareRoots(t, root, d.path("odd/v1"))
	for _, name := range list(t, root) {
		info, err := os.Lstat(filepath.Join(root, name))
		must(t, err)
		if !info.Mode().IsRegular() {
			continue
		}
		want, err := os.ReadFile(filepath.Join(root, name))
		must(t, err)
		u := url.URL{Path: "/odd/v1/" + name}
		if got := fetchOK(t, web.url+u.EscapedPath()); !bytes.Equal(got, want) {
			t.Errorf("%q through nginx: got %q, want %q", name, got, want)
		}
	}
	long := strings.Repeat("n", 256)
	if _, err := os.Lstat(d.path("odd/v1", long)); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a name of 256 bytes: got %v, want %v", err, syscall.ENAMETOOLONG)
	}
	if got := fetch(t, web.url+"/odd/v1/"+long).status; got != http.StatusNotFound {
		t.Errorf("a name of 256 bytes: got %d, want 404", got)
	}
}

// TestAHardLinkToWhatComesLaterIsWhatWasMeant: unpackers cannot make it.
func TestAHardLinkToWhatComesLaterIsWhatWasMeant(t *testing.T) {
	reg := startRegistry(t)
	lower := craft(tarBlock{name: "below", content: "below"})
	upper := craft(tarBlock{name: "early", kind: '1', link: "late"}, tarBlock{name: "late", content: "late"}, tarBlock{name: "across", kind: '1', link: "below"})
	reg.putImage(t, "links", "v1", imageConfig(), ociPart{mediaType: plainLayer, data: lower}, ociPart{mediaType: plainLayer, data: upper})
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	for name, want := range map[string]string{"early": "late", "late": "late", "across": "below", "below": "below"} {
		wantFile(t, d.path("links/v1", name), []byte(want))
		if got := string(fetchOK(t, web.url+"/links/v1/"+name)); got != want {
			t.Errorf("%s through nginx: got %q, want %q", name, got, want)
		}
	}
}

// TestNoShapeOfLinkLeadsOut: a file of this machine is linked to in more than
// thirty ways, and cannot be read by any.
func TestNoShapeOfLinkLeadsOut(t *testing.T) {
	reg := startRegistry(t)
	const secret = "this machine's own"
	file := filepath.Join(newDir(t), "secret")
	must(t, os.WriteFile(file, []byte(secret), 0o644))
	up := strings.Repeat("../", 20)
	blocks := []tarBlock{
		{name: "a/b/f", content: "f"}, {name: "top", kind: '2', link: "/"}, {name: "a/up", kind: '2', link: ".."},
		{name: "a/b/out", kind: '2', link: up}, {name: "away", kind: '2', link: filepath.Dir(file)}, {name: "self", kind: '2', link: "/proc/self/root"},
	}
	targets := []string{
		file, "/" + file, up + file, up[:len(up)-1] + file, "." + file, "./" + up + file, "a/../" + up + file, "a/b/../../" + up + file,
		"top/" + up + file, "a/up/" + up + file, "a/up/../" + up + file, "away/secret", "away", "self" + file, "a/b/out" + file, "/proc/self/root" + file,
		"/proc/1/root" + file, "//proc//self//cwd/" + up + file, "a/b/f/../" + up + file, up + "dev/shm", "...", "a//" + up + "//" + file,
	}
	var names []string
	for i, target := range targets {
		for _, dir := range []string{"", "a/b/"} {
			names = append(names, fmt.Sprintf("%sl%d", dir, i))
			blocks = append(blocks, tarBlock{name: names[len(names)-1], kind: '2', link: target})
		}
	}
	for i := range names[:10] { // and by way of another link
		blocks = append(blocks, tarBlock{name: fmt.Sprint("way", i), kind: '2', link: names[i]})
		names = append(names, fmt.Sprint("way", i))
	}
	reg.putImage(t, "links", "v1", imageConfig(), ociPart{mediaType: plainLayer, data: craft(blocks...)})
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	wantFile(t, d.path("links/v1/a/up/top/a/b/f"), []byte("f"))
	for _, name := range names {
		text, err := os.ReadFile(d.path("links/v1", name))
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %q, %v, want %v", name, text, err, os.ErrNotExist)
		}
		if _, err := os.Readlink(d.path("links/v1", name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: its link: got %v, want %v", name, err, os.ErrNotExist)
		}
		if got := fetch(t, web.url+"/links/v1/"+name); got.status != http.StatusNotFound || bytes.Contains(got.body, []byte(secret)) {
			t.Errorf("%s: got %d %.100q, want 404", name, got.status, got.body)
		}
	}
}

// TestATableIsTheOneThatTheManifestMeans: a table of contents with another digest,
// or of which two digests say different things, shows nothing; one that is right
// is the truth, whatever the archive around it holds.
func TestATableIsTheOneThatTheManifestMeans(t *testing.T) {
	reg := startRegistry(t)
	const table = `{"version":1,"entries":[{"name":"shown","type":"reg","size":0},{"name":"l","type":"symlink","linkName":"shown"}]}`
	other := digest.FromString("another table").String()
	right := tableLayer(t, table)
	reg.putImage(t, "tables", "right", imageConfig(), right)
	wrong := tableLayer(t, table)
	wrong.annotations = map[string]string{"containerd.io/snapshot/stargz/toc.digest": other}
	reg.putImage(t, "tables", "wrong", imageConfig(), wrong)
	first, packed := compress(t, craft(tarBlock{name: "first", content: "1"}), "zstd"), compress(t, []byte(table), "zstd")
	both := func(inner string) ociPart {
		return ociPart{mediaType: plainLayer + "+zstd", data: bytes.Join([][]byte{first, packed}, nil), annotations: map[string]string{
			"io.github.containers.zstd-chunked.manifest-checksum": digest.FromBytes(packed).String(),
			"io.github.containers.zstd-chunked.manifest-position": fmt.Sprintf("%d:%d:%d:1", len(first), len(packed), len(table)),
			"containerd.io/snapshot/stargz/toc.digest":            inner,
		}}
	}
	reg.putImage(t, "tables", "agree", imageConfig(), both(digest.FromString(table).String()))
	reg.putImage(t, "tables", "differ", imageConfig(), both(other))
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	for _, tag := range []string{"right", "agree"} {
		if got := strings.Join(list(t, d.path("tables", tag)), " "); got != "./ l shown" {
			t.Errorf("%s: got %q, want what the table says", tag, got)
		}
		if got := fetch(t, web.url+"/tables/"+tag+"/first").status; got != http.StatusNotFound {
			t.Errorf("%s: what only the archive holds: got %d, want 404", tag, got)
		}
	}
	for _, tag := range []string{"wrong", "differ"} {
		if _, err := os.ReadFile(d.path("tables", tag, "shown")); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: got %v, want %v", tag, err, syscall.EIO)
		}
		if got := fetch(t, web.url+"/tables/"+tag+"/shown").status; got != http.StatusServiceUnavailable {
			t.Errorf("%s: got %d, want 503", tag, got)
		}
	}
}

// TestALargeIndexIsOneChoice: of a thousand entries none is asked for but the one
// that is shown; more are refused.
func TestALargeIndexIsOneChoice(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	doc := reg.putImage(t, "many", "one", imageConfig(), ociPart{mediaType: gzipLayer, data: s.tarGz(t)})
	indexOf := func(n int) []byte {
		entries := []map[string]any{entryOf(typeManifest, doc, "linux/s390x")}
		for i := range n - 1 {
			entries = append(entries, entryOf(typeManifest, fmt.Append(nil, "nothing ", i), "plan9/mips"))
		}
		return encode(t, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": entries})
	}
	server := httptest.NewServer(fixedIndexes{reg, map[string][]byte{"v1": indexOf(1000), "v2": indexOf(10_000)}})
	t.Cleanup(server.Close)
	relay := startRelay(t, strings.TrimPrefix(server.URL, "http://"))
	d := mount(t, relay.host, never, "--platform=linux/s390x")
	web := startNginx(t, d.dir)
	compareTree(t, s.write(t), d.path("many/v1"))
	if got := fetchOK(t, web.url+"/many/v1/index.html"); !bytes.Equal(got, s["index.html"]) {
		t.Errorf("got %q through nginx", got)
	}
	if _, err := os.ReadFile(d.path("many/v2/index.html")); !errors.Is(err, syscall.EIO) {
		t.Errorf("ten thousand entries: got %v, want %v", err, syscall.EIO)
	}
	if got := fetch(t, web.url+"/many/v2/index.html").status; got != http.StatusServiceUnavailable {
		t.Errorf("ten thousand entries: got %d, want 503", got)
	}
	for _, q := range relay.since(0, "manifests") {
		name := filepath.Base(q.path)
		if name != "v1" && name != "v2" && name != digest.FromBytes(doc).String() {
			t.Errorf("%s was asked for", q.path)
		}
	}
}

// fixedIndexes serves indexes by tag in front of a registry that would want all
// that they name.
type fixedIndexes struct {
	reg  *registry
	docs map[string][]byte
}

func (f fixedIndexes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	doc, ok := f.docs[filepath.Base(r.URL.Path)]
	if !ok {
		http.Redirect(w, r, "http://"+f.reg.host+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		return
	}
	w.Header().Set("Content-Type", typeIndex)
	_, _ = w.Write(doc)
}
