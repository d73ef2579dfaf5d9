package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

// hostileArchives are layers that no site needs and some reader is fooled by,
// by what is wrong with them.
func hostileArchives() map[string][]byte {
	const gnu = "ustar  \x00"
	f := tarBlock{name: "f", content: "x"}
	hidden := tarBlock{name: "hidden", content: "hidden"}
	longSize := "00000001000\x00"
	binarySize := func(n int64) string {
		return "\x80\x00\x00\x00" + string(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	return map[string][]byte{
		"leads-out":           craft(tarBlock{name: "../../etc/passwd", content: "x"}),
		"leads-out-inside":    craft(tarBlock{name: "a/../../b", content: "x"}),
		"comes-back":          craft(tarBlock{name: "a/../b", content: "x"}),
		"only-dots":           craft(tarBlock{name: "..", kind: '5'}),
		"absolute-dots":       craft(tarBlock{name: "/../x", content: "x"}),
		"pax-leads-out":       craft(paxBlock('x', "path", "../x"), f),
		"gnu-leads-out":       craft(gnuBlock('L', "../x"), tarBlock{name: "f", magic: gnu}),
		"prefix-leads-out":    craft(tarBlock{name: "f", prefix: ".."}),
		"hard-link-out":       craft(tarBlock{name: "h", kind: '1', link: "../../etc/passwd"}),
		"hard-link-nothing":   craft(tarBlock{name: "h", kind: '1', link: "/etc/passwd"}),
		"hard-link-itself":    craft(tarBlock{name: "h", kind: '1', link: "h"}),
		"hard-link-circle":    craft(tarBlock{name: "a", kind: '1', link: "b"}, tarBlock{name: "b", kind: '1', link: "a"}),
		"hard-link-folder":    craft(tarBlock{name: "d/", kind: '5'}, tarBlock{name: "h", kind: '1', link: "d"}),
		"hard-link-size":      craft(f, tarBlock{name: "h", kind: '1', link: "f", size: longSize}, hidden),
		"link-size":           craft(tarBlock{name: "l", kind: '2', link: "f", size: longSize}, hidden),
		"folder-size":         craft(tarBlock{name: "d/", kind: '5', size: longSize}, hidden),
		"device-size":         craft(tarBlock{name: "n", kind: '3', size: longSize}, hidden),
		"pipe-size":           craft(tarBlock{name: "n", kind: '6', size: longSize}, hidden),
		"pax-size-link":       craft(paxBlock('x', "size", "512"), tarBlock{name: "l", kind: '2', link: "f"}, hidden),
		"link-without-target": craft(tarBlock{name: "l", kind: '2'}),
		"empty-name":          craft(tarBlock{content: "x"}),
		"root-is-a-file":      craft(tarBlock{name: "./", kind: '2', link: "x"}),
		"file-then-child":     craft(tarBlock{name: "a"}, tarBlock{name: "a/b"}),
		"child-then-file":     craft(tarBlock{name: "a/b"}, tarBlock{name: "a"}),
		"folder-then-file":    craft(tarBlock{name: "a/", kind: '5'}, tarBlock{name: "a"}),
		"file-then-folder":    craft(tarBlock{name: "a"}, tarBlock{name: "./a/", kind: '5'}),
		"file-and-link":       craft(tarBlock{name: "a"}, tarBlock{name: "./a", kind: '2', link: "b"}),
		"long-name":           craft(paxBlock('x', "path", strings.Repeat("n", 256)), f),
		"long-path":           craft(paxBlock('x', "path", strings.Repeat("n/", 2100)+"n"), f),
		"deep":                craft(paxBlock('x', "path", strings.Repeat("d/", 1500)+"f"), f),
		"zero-byte":           craft(paxBlock('x', "path", "a\x00b"), f),
		"sparse-old":          craft(tarBlock{name: "f", kind: 'S', content: "x", magic: gnu}),
		"sparse-1.0":          craft(paxBlock('x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "f", "GNU.sparse.realsize", "9223372036854775807"), tarBlock{name: "g", content: "0\n" + strings.Repeat("\x00", 510)}),
		"sparse-0.1":          craft(paxBlock('x', "GNU.sparse.size", "1048576", "GNU.sparse.numblocks", "1", "GNU.sparse.map", "0,1"), f),
		"sparse-star":         craft(paxBlock('x', "SCHILY.realsize", "8192"), f),
		"pax-then-gnu":        craft(paxBlock('x', "path", "pax"), gnuBlock('L', "gnu"), f),
		"gnu-then-pax":        craft(gnuBlock('L', "gnu"), paxBlock('x', "path", "pax"), f),
		"pax-twice":           craft(paxBlock('x', "path", "a"), paxBlock('x', "path", "b"), f),
		"gnu-twice":           craft(gnuBlock('L', "a"), gnuBlock('L', "b"), f),
		"key-twice":           craft(paxBlock('x', "path", "a", "path", "b"), f),
		"path-empty":          craft(paxBlock('x', "path", ""), f),
		"name-empty":          craft(gnuBlock('L', ""), f),
		"size-twice":          craft(paxBlock('x', "size", "1024"), tarBlock{name: "f", content: strings.Repeat("x", 512)}, hidden),
		"size-smaller":        craft(paxBlock('x', "size", "0"), f),
		"size-negative":       craft(paxBlock('x', "size", "-1"), f),
		"size-hex":            craft(paxBlock('x', "size", "0x1"), f),
		"size-huge-pax":       craft(paxBlock('x', "size", "9223372036854775807"), tarBlock{name: "f"}),
		"size-binary":         craft(tarBlock{name: "f", content: "x", size: binarySize(1)}),
		"size-binary-minus":   craft(tarBlock{name: "f", content: "x", size: strings.Repeat("\xff", 12)}),
		"size-binary-huge":    craft(tarBlock{name: "f", size: binarySize(1<<63 - 1)}),
		"size-overflow":       craft(tarBlock{name: "f", size: "\x80" + strings.Repeat("\xff", 11)}),
		"size-octal-huge":     craft(tarBlock{name: "f", size: "77777777777\x00"}),
		"size-blank":          craft(tarBlock{name: "f", size: strings.Repeat(" ", 12)}),
		"size-sign":           craft(tarBlock{name: "f", content: "x", size: "-0000000001\x00"}),
		"size-two":            craft(tarBlock{name: "f", content: "x", size: "1\x00777777777\x00"}),
		"global-path":         craft(paxBlock('g', "path", "all"), f),
		"global-size":         craft(paxBlock('g', "size", "1"), f),
		"global-between":      craft(paxBlock('x', "path", "a"), paxBlock('g', "comment", "c"), f),
		"extended-last":       craft(f, paxBlock('x', "path", "a")),
		"extended-huge":       craft(tarBlock{name: "p", kind: 'x', size: "77777777777\x00"}),
		"extended-empty":      craft(tarBlock{name: "p", kind: 'x'}, f),
		"extended-damaged":    craft(tarBlock{name: "p", kind: 'x', content: "99 path=a\n"}, f),
		"type-unknown":        craft(tarBlock{name: "f", kind: 'Z'}),
		"type-contiguous":     craft(tarBlock{name: "f", kind: '7', content: "x"}),
		"type-volume":         craft(tarBlock{name: "v", kind: 'V', magic: gnu}),
		"type-multivolume":    craft(tarBlock{name: "m", kind: 'M', content: "x", magic: gnu}),
		"type-dumpdir":        craft(tarBlock{name: "d/", kind: 'D', content: "Yf\x00\x00", magic: gnu}),
		"file-with-slash":     craft(tarBlock{name: "f/", content: "x"}),
		"star":                craft(tarBlock{name: "f", prefix: "p", trailer: "tar\x00"}),
		"magic":               craft(tarBlock{name: "f", magic: "ustar\x0100"}),
		"gnu-prefix":          craft(tarBlock{name: "f", magic: gnu, prefix: "somewhere"}),
		"padding":             craft(tarBlock{name: "f", content: "x", padding: 'p'}, hidden),
		"second-archive":      append(craft(f), craft(hidden)...),
		"after-the-end":       append(craft(f), "hidden"...),
		"after-half-an-end":   append(append(f.bytes(), make([]byte, blockSize)...), hidden.bytes()...),
		"checksum":            craft(tarBlock{name: "f", content: "x", checksum: "000001\x00 "}),
		"cut-in-header":       craft(f)[:300],
		"cut-in-content":      craft(tarBlock{name: "f", content: strings.Repeat("x", 600)})[:1000],
		"not-an-archive":      bytes.Repeat([]byte("not an archive "), 100),
		"whiteout-of-nothing": craft(tarBlock{name: "d/.wh."}),
	}
}

// hostileTables are the entries of tables of contents that lie.
func hostileTables() map[string]string {
	sum := digest.FromString("x").String()
	reg := func(changes ...string) string {
		e := map[string]string{"name": `"f"`, "type": `"reg"`, "size": "10", "offset": "5", "chunkDigest": strconv.Quote(sum)}
		for i := 0; i < len(changes); i += 2 {
			e[changes[i]] = changes[i+1]
		}
		var fields []string
		for _, key := range slices.Sorted(maps.Keys(e)) {
			fields = append(fields, strconv.Quote(key)+":"+e[key])
		}
		return "{" + strings.Join(fields, ",") + "}"
	}
	return map[string]string{
		"offset-past-the-end":    reg("offset", "99999999"),
		"offset-negative":        reg("offset", "-5"),
		"offset-huge":            reg("offset", "9223372036854775807"),
		"size-negative":          reg("size", "-1"),
		"size-overflow":          reg("size", "9223372036854775808"),
		"size-of-exponents":      reg("size", "1e999999999"),
		"size-is-text":           reg("size", `"10"`),
		"inner-negative":         reg("innerOffset", "-1"),
		"chunk-short":            reg("chunkSize", "4"),
		"chunk-long":             reg("chunkSize", "11"),
		"chunk-negative":         reg("chunkSize", "-1"),
		"chunk-offset":           reg("chunkOffset", "5"),
		"chunk-of-nothing":       `{"name":"f","type":"chunk","offset":5}`,
		"chunks-overlap":         reg("chunkSize", "5") + `,{"name":"f","type":"chunk","offset":5,"chunkOffset":3,"chunkSize":7,"chunkDigest":"` + sum + `"}`,
		"chunk-order":            reg("chunkSize", "5", "offset", "9") + `,{"name":"f","type":"chunk","offset":5,"chunkOffset":5,"chunkDigest":"` + sum + `"}`,
		"two-files-in-one-place": reg() + "," + reg("name", `"g"`),
		"name-leads-out":         reg("name", `"../f"`),
		"name-empty":             reg("name", `""`),
		"name-with-zero":         reg("name", `"a\u0000b"`),
		"name-long":              reg("name", strconv.Quote(strings.Repeat("n", 256))),
		"name-endless":           reg("name", strconv.Quote(strings.Repeat("n", 100_000))),
		"type-unknown":           reg("type", `"door"`),
		"type-missing":           `{"name":"f"}`,
		"key-twice":              `{"name":"f","name":"g","type":"dir"}`,
		"nesting":                reg("xattrs", strings.Repeat("[", 100)+strings.Repeat("]", 100)),
		"file-then-child":        reg() + "," + reg("name", `"f/g"`, "offset", "9"),
		"hard-link-out":          `{"name":"h","type":"hardlink","linkName":"../../etc/passwd"}`,
		"hard-link-nothing":      `{"name":"h","type":"hardlink","linkName":"nothing"}`,
		"not-an-object":          `7`,
		"unfinished":             `{"name":"f`,
	}
}

// hostileManifests are documents that are not what they should be, all of which
// registries take.
func hostileManifests(layer []byte) map[string]string {
	config := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, typeImage, digest.FromBytes(imageConfig().data), len(imageConfig().data))
	good := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, gzipLayer, digest.FromBytes(layer), len(layer))
	doc := func(layers string, more string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]%s}`, typeManifest, config, layers, more)
	}
	replaced := func(from, to string) string { return doc(strings.Replace(good, from, to, 1), "") }
	return map[string]string{
		"layers-twice":      doc("", `,"layers":[`+good+`]`),
		"layers-and-Layers": doc("", `,"Layers":[`+good+`]`),
		"both-kinds":        doc(good, `,"manifests":[`+good+`]`),
		"deep-annotations":  doc(good, `,"annotations":`+strings.Repeat(`{"a":`, 50)+"1"+strings.Repeat("}", 50)),
		"size-negative":     replaced(fmt.Sprint(`"size":`, len(layer)), `"size":-1`),
		"size-of-exponents": replaced(fmt.Sprint(`"size":`, len(layer)), `"size":1e99`),
		"digest-of-a-path":  replaced("sha256:", "sha256:../../"),
		"digest-of-md5":     replaced("sha256:", "md5:"),
		"digest-in-capital": replaced("sha256:", "SHA256:"),
		"many-archives":     doc(strings.Repeat(good+",", 200)+good, ""),
		"encrypted":         replaced("gzip", "gzip+encrypted"),
		"elsewhere":         replaced(`"size"`, `"urls":["http://169.254.169.254/latest/meta-data/"],"size"`),
		"no-config":         fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"layers":[%s]}`, typeManifest, good),
		"schema-3":          strings.Replace(doc(good, ""), `"schemaVersion":2`, `"schemaVersion":3`, 1),
	}
}

// fixedManifests serves manifests by tag in front of a registry that would check them.
type fixedManifests struct {
	reg  *registry
	docs map[string]string
}

func (f fixedManifests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	doc, ok := f.docs[r.URL.Path]
	if !ok {
		http.Redirect(w, r, "http://"+f.reg.host+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		return
	}
	w.Header().Set("Content-Type", typeManifest)
	_, _ = w.Write([]byte(doc))
}

// TestHostileVersionsHarmNobody pushes more than two hundred layers, tables of
// contents and manifests, looks at each as nginx and as other programs do, and
// then at what they did to the daemon and to the site next door.
func TestHostileVersionsHarmNobody(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	neighbour := smallSite()
	neighbour.publish(t, reg.host, "good", "v1")
	good := neighbour.tarGz(t)
	reg.putImage(t, "manifests", "good", imageConfig(), ociPart{mediaType: gzipLayer, data: good})
	var tags []string
	for _, format := range []string{"", "gzip"} {
		for name, archive := range hostileArchives() {
			repo := "archives" + format
			reg.putImage(t, repo, name, imageConfig(), ociPart{mediaType: plainLayer, data: compress(t, archive, format)})
			tags = append(tags, repo+"/"+name)
		}
	}
	for name, blob := range hostileBlobs(t) {
		reg.putImage(t, "blobs", name, imageConfig(), ociPart{mediaType: plainLayer, data: blob})
		tags = append(tags, "blobs/"+name)
	}
	for name, entries := range hostileTables() {
		reg.putImage(t, "tables", name, imageConfig(), tableLayer(t, `{"version":1,"entries":[`+entries+`]}`))
		tags = append(tags, "tables/"+name)
	}
	front := fixedManifests{reg, map[string]string{}}
	for name, doc := range hostileManifests(good) {
		front.docs["/v2/manifests/manifests/"+name] = doc
		tags = append(tags, "manifests/"+name)
	}
	// A blob of another size than the manifest says, or a document of another type
	// than the registry says, may be a fault of the registry, which is asked again
	// later.
	size := fmt.Sprint(`"size":`, len(good))
	lies := map[string][2]string{
		"shorter": {size, fmt.Sprint(`"size":`, len(good)-1)}, "huge": {size, `"size":9223372036854775807`}, "type": {typeManifest, typeIndex},
	}
	for name, lie := range lies {
		doc := string(reg.putImage(t, "lies", name, imageConfig(), ociPart{mediaType: gzipLayer, data: good}))
		front.docs["/v2/lies/manifests/"+name] = substitute(t, doc, lie[0], lie[1])
	}
	if len(tags) < 200 {
		t.Fatalf("only %d hostile versions", len(tags))
	}
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	d := mount(t, strings.TrimPrefix(server.URL, "http://"), never)
	web := startNginx(t, d.dir)
	compareTree(t, neighbour.write(t), d.path("good/v1"))
	before := memoryOf(t, d)
	for _, tag := range tags {
		wantHarmless(t, d, web, tag)
	}
	for name := range lies {
		if _, err := os.ReadFile(d.path("lies", name, "index.html")); !errors.Is(err, syscall.EIO) {
			t.Errorf("a lie, %s: got %v, want EIO", name, err)
		}
		if got := fetch(t, web.url+"/lies/"+name+"/index.html").status; got != http.StatusServiceUnavailable {
			t.Errorf("a lie, %s: got %d, want 503", name, got)
		}
	}
	if grown := mostMemoryOf(t, d) - before; grown > 64<<10 {
		t.Errorf("the daemon grew by %d MiB at its height", grown>>10)
	}
	compareTree(t, neighbour.write(t), d.path("good/v1"))
	log, err := os.ReadFile(d.log)
	must(t, err)
	for _, tag := range tags {
		repo, name, _ := strings.Cut(tag, "/")
		lines := regexp.MustCompile(`(?m)^.*event=bad_version repo=`+repo+` tag=`+regexp.QuoteMeta(name)+` .*$`).FindAll(log, -1)
		if len(lines) != 1 || len(lines[0]) > 2000 {
			t.Errorf("%s: %d lines in the log, want one that says what is wrong", tag, len(lines))
		}
	}
}

// wantHarmless looks at a hostile version as different programs do.
func wantHarmless(t *testing.T, d *daemon, web *nginx, tag string) {
	t.Helper()
	// No more than 25 unknown names a second are asked for.
	if !eventually(startLimit, func() bool { info, err := os.Stat(d.path(tag)); return err == nil && info.IsDir() }) {
		t.Errorf("%s is no directory", tag)
		return
	}
	for _, name := range []string{"f", "hidden", "etc/passwd"} {
		if _, err := os.ReadFile(d.path(tag, name)); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s/%s: got %v, want EIO", tag, name, err)
		}
	}
	if _, err := os.ReadDir(d.path(tag)); !errors.Is(err, syscall.EIO) {
		t.Errorf("%s: got %v, want EIO", tag, err)
	}
	if got := fetch(t, web.url+"/"+tag+"/f").status; got != http.StatusServiceUnavailable {
		t.Errorf("%s: got %d, want 503", tag, got)
	}
	if outside, _ := filepath.Glob(d.path(tag, "*")); len(outside) > 0 {
		t.Errorf("%s names %q", tag, outside)
	}
}

// tableLayer is a layer that is all table of contents, for which the manifest
// vouches.
func tableLayer(t *testing.T, table string) ociPart {
	t.Helper()
	return tabled(t, compress(t, craft(tarBlock{name: "first", content: "0123456789"}), "gzip"), table)
}

// tabled is a layer of members and a table of contents, for which the manifest
// vouches.
func tabled(t *testing.T, members []byte, table string) ociPart {
	t.Helper()
	offset := len(members)
	blob := append(members, compress(t, craft(tarBlock{name: "stargz.index.json", content: table}), "gzip")...)
	footer := append([]byte("\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x1a\x00SG\x16\x00"), fmt.Sprintf("%016xSTARGZ", offset)...)
	blob = append(blob, append(footer, "\x01\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"...)...)
	sum := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(table)))
	return ociPart{mediaType: gzipLayer, data: blob, annotations: map[string]string{"containerd.io/snapshot/stargz/toc.digest": sum}}
}
