package e2e

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// foreignRow is what was done to files of a cache while no daemon ran.
type foreignRow struct {
	name  string
	files string // pattern of the files below the cache
	harm  func(t *testing.T, file string)
}

// planted is what a link leads to that somebody put in a file's place.
const planted = "<h1>planted</h1>\n"

var foreignRows = slices.Concat(
	foreignOf("a content", "v1/??/????????????????????????????????????????????????????????????????"),
	foreignOf("a segment", "v1/segments/*.seg"),
	foreignOf("an index of a segment", "v1/segments/*.idx"),
	foreignOf("a tree", "v1/docs/trees/*"),
	foreignOf("what is known of the registry", "v1/docs/namespaces/*"),
	[]foreignRow{
		{"contents changed places", "v1/??/????????????????????????????????????????????????????????????????", swapWithNext},
		{"trees changed places", "v1/docs/trees/*", swapWithNext},
		{"small contents changed places", "v1/segments/*.seg", swapRecords},
		{"a tree of an older format", "v1/docs/trees/*", resealed(`"version":\d+`, `"version":1`)},
		{"a tree of a newer format", "v1/docs/trees/*", resealed(`"version":\d+`, `"version":999`)},
		{"a tree without its nodes", "v1/docs/trees/*", resealed(`(?s)\n.*`, "\n")},
		{"names of an older format", "v1/docs/namespaces/*", resealed(`"version":\d+`, `"version":0`)},
		{"names that lead out", "v1/docs/namespaces/*", resealed(`"my-app"`, `"../../x"`)},
		{"a file where segments were", "v1/segments", inItsPlace(aFile)},
		{"a file where the scratch folder was", "v1/tmp", inItsPlace(aFile)},
		{"a link where all was", "v1", inItsPlace(aLink)},
		{"a file where all was", "v1", inItsPlace(aFile)},
		{"the lock is a folder", "v1/lock", inItsPlace(aFolder)},
		{"the lock is a pipe", "v1/lock", inItsPlace(aPipe)},
		{"the lock is a link", "v1/lock", inItsPlace(aLink)},
		{"a link where segments were", "v1/segments", inItsPlace(aLink)},
		{"a link where documents were", "v1/docs", inItsPlace(aLink)},
		{"a file where documents were", "v1/docs", inItsPlace(aFile)},
		{"a link where a shard was", "v1/??", inItsPlace(aLink)},
		{"a file where a shard was", "v1/??", inItsPlace(aFile)},
	},
)

// foreignOf is what can be done to a file of any kind.
func foreignOf(what, files string) []foreignRow {
	resized := func(size func(int64) int64) func(*testing.T, string) {
		return func(t *testing.T, file string) {
			fi, err := os.Stat(file)
			must(t, err)
			must(t, os.Truncate(file, size(fi.Size())))
		}
	}
	return []foreignRow{
		{what + " truncated", files, resized(func(n int64) int64 { return n / 2 })},
		{what + " emptied", files, resized(func(int64) int64 { return 0 })},
		{what + " longer", files, resized(func(n int64) int64 { return n + 100 })},
		{what + " is a link to another file", files, inItsPlace(aLink)},
		{what + " is a pipe", files, inItsPlace(aPipe)},
		{what + " is a folder", files, inItsPlace(aFolder)},
		{what + " of another user", files, func(t *testing.T, file string) { must(t, os.Chown(file, 65534, 65534)) }},
		{what + " that all may write", files, func(t *testing.T, file string) { must(t, os.Chmod(file, 0o666)) }},
	}
}

func aLink(path, outside string) error { return os.Symlink(outside, path) }
func aPipe(path, _ string) error       { return unix.Mkfifo(path, 0o600) }
func aFolder(path, _ string) error     { return os.MkdirAll(path+"/with/more", 0o700) }
func aFile(path, _ string) error       { return os.WriteFile(path, []byte(planted), 0o600) }

// inItsPlace moves a file out of the cache, where a link may lead to it, and
// puts something else in its place.
func inItsPlace(make func(path, outside string) error) func(*testing.T, string) {
	return func(t *testing.T, file string) {
		outside := filepath.Join(newDir(t), "outside")
		must(t, os.Rename(file, outside))
		must(t, make(file, outside))
	}
}

// swapWithNext gives two files each other's bytes.
func swapWithNext(t *testing.T, file string) {
	pattern := filepath.Join(filepath.Dir(filepath.Dir(file)), "*", "*")
	all, err := filepath.Glob(pattern)
	must(t, err)
	all = slices.DeleteFunc(all, func(f string) bool { return len(filepath.Base(f)) != len(filepath.Base(file)) })
	other := all[(slices.Index(all, file)+1)%len(all)]
	if other == file {
		t.Fatalf("only %q", all)
	}
	must(t, os.Rename(file, file+"~"))
	must(t, os.Rename(other, file))
	must(t, os.Rename(file+"~", other))
}

// swapRecords has the first two contents of 1000 bytes in a segment change
// places; their headers stay.
func swapRecords(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	must(t, err)
	header := []byte("rseg\xe8\x03\x00\x00")
	a := bytes.Index(data, header)
	b := a + 44 + bytes.Index(data[max(0, a+44):], header)
	if a < 0 || b < a+44 {
		t.Fatal("no two contents of one size")
	}
	one, two := data[a+44:][:1000], data[b+44:][:1000]
	kept := bytes.Clone(one)
	copy(one, two)
	copy(two, kept)
	must(t, os.WriteFile(file, data, 0o600))
}

// resealed changes the text of a document and makes its checksum right again:
// the magic, 32 bytes of checksum over the name, a zero and the rest, the rest.
func resealed(from, to string) func(*testing.T, string) {
	return func(t *testing.T, file string) {
		data, err := os.ReadFile(file)
		must(t, err)
		const magic = "regfsdoc"
		old := data[len(magic)+sha256.Size:]
		text := regexp.MustCompile(from).ReplaceAll(old, []byte(to))
		if bytes.Equal(text, old) {
			t.Fatalf("%s holds no %s: %.300q", file, from, old)
		}
		name := filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
		sum := sha256.Sum256([]byte(name + "\x00" + string(text)))
		must(t, os.WriteFile(file, slices.Concat([]byte(magic), sum[:], text), 0o600))
	}
}

// foreignSite has contents of each kind: in a segment, in a file, two of one size.
func foreignSite(seed uint64) site {
	return site{
		"index.html": []byte(strings.Repeat("a", 1000)),
		"other.html": []byte(strings.Repeat("b", 1000)),
		"d/one.bin":  noise(seed, 200_000),
		"d/two.bin":  noise(seed+1, 200_000),
	}
}

// TestForeignFilesInTheCacheAreMadeAgain harms a cache in every way, starts a
// daemon on it and looks at its sites; then once more without the registry, when
// all that was dropped has been made again.
func TestForeignFilesInTheCacheAreMadeAgain(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	first, second := foreignSite(1), foreignSite(3)
	first.publish(t, reg.host, "my-app", "v1")
	second.publish(t, reg.host, "my-app", "v2")
	relay := startRelay(t, reg.host)
	wantBoth := func(t *testing.T, d *daemon) {
		t.Helper()
		wantSite(t, d.path("my-app/v1"), first)
		wantSite(t, d.path("my-app/v2"), second)
	}
	d := mount(t, relay.host, never)
	wantBoth(t, d)
	d.waitUntilKept(t, "v2")
	d.unmountCleanly(t)
	filled := d.cache

	for _, row := range foreignRows {
		t.Run(row.name, func(t *testing.T) {
			d.process.t = t
			d.cache = filepath.Join(newDir(t), "cache")
			must(t, os.CopyFS(d.cache, os.DirFS(filled)))
			must(t, privately(d.cache))
			files, err := filepath.Glob(filepath.Join(d.cache, row.files))
			must(t, err)
			if len(files) == 0 {
				t.Fatalf("no %s in the cache", row.files)
			}
			row.harm(t, files[0])
			d.launch(t)
			wantBoth(t, d)
			d.unmountCleanly(t)
			relay.down()
			defer relay.up()
			d.launch(t)
			wantBoth(t, d)
			d.unmountCleanly(t)
		})
	}
}

// privately takes away what others may do, which a copy gave them.
func privately(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
}
