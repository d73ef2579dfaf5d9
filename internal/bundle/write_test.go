package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/layer"
)

// writeTree makes a folder of files: names that end in a slash are folders,
// those with an arrow links, and others hold their own name.
func writeTree(t *testing.T, names ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "site")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		addToTree(t, dir, n)
	}
	return dir
}

func addToTree(t *testing.T, dir, n string) {
	t.Helper()
	link, target, isLink := strings.Cut(n, " -> ")
	p := filepath.Join(dir, link)
	err := os.MkdirAll(filepath.Dir(p), 0o755)
	switch {
	case err != nil:
	case isLink:
		err = os.Symlink(target, p)
	case strings.HasSuffix(n, "/"):
		err = os.MkdirAll(p, 0o755)
	default:
		err = os.WriteFile(p, []byte(n), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func testOptions(t *testing.T, dir string) Options {
	return Options{Version: "v1", Dir: dir, Out: filepath.Join(t.TempDir(), "images"), Format: FormatDual, Title: "my-app"}
}

func write(t *testing.T, o Options) Result {
	t.Helper()
	r, err := Write(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// snapshot is every file below dir by name, with the digest of its content.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		m[p] = d.Type().String()
		if d.Type().IsRegular() {
			data, err := os.ReadFile(filepath.Join(dir, p))
			m[p] = digest.FromBytes(data).String()
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// packedNames are the names that scanning dir finds, without the folder app.
func packedNames(t *testing.T, dir, out string) []string {
	t.Helper()
	f, err := scanFolder(dir, out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	var got []string
	for _, e := range f.entries[1:] {
		got = append(got, strings.TrimPrefix(e.Name, rootDir+"/"))
	}
	return got
}

func TestFoldersAreListedInOrder(t *testing.T) {
	dir := writeTree(t, "b", "a/z", "a.txt", "a/B", "empty/", "a-b/x", "l -> b")
	want := []string{"a", "a/B", "a/z", "a-b", "a-b/x", "a.txt", "b", "empty", "l"}
	if got := packedNames(t, dir, ""); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatIsIgnoredIsNotPacked(t *testing.T) {
	dir := writeTree(t, "index.html", ".git/config", "sub/.git", ".DS_Store", "sub/.DS_Store", ".well-known/x",
		"draft/a.html", "sub/draft/b.html", "sub/keep.log", "sub/other.log", "a.log", "node_modules/x/y.js")
	for name, text := range map[string]string{".regfsignore": "*.log\n/draft\nnode_modules/\n", "sub/.regfsignore": "!keep.log\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{".well-known", ".well-known/x", "index.html", "sub", "sub/draft", "sub/draft/b.html", "sub/keep.log"}
	if got := packedNames(t, dir, ""); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestResultInsideTheFolderIsNeverPacked(t *testing.T) {
	dir := writeTree(t, "index.html", "build/images/v0/x")
	o := testOptions(t, dir)
	o.Out = filepath.Join(dir, "build", "images")
	first := write(t, o)
	o.Version = "v2"
	second := write(t, o)
	if first.Digest != second.Digest || second.Layer.Files != 1 {
		t.Errorf("got %d files and %q, want the one file and %q as before", second.Layer.Files, second.Digest, first.Digest)
	}
	if len(second.Warnings) != 1 || !slices.Equal(second.Warnings[0].Places, []string{"build/images"}) {
		t.Errorf("got warnings %v, want one that build/images was left out", second.Warnings)
	}
}

func TestFolderInsideTheResultsIsPackedUnlessItWouldBeReplaced(t *testing.T) {
	dir := writeTree(t, "src/index.html", "v1/app/index.html")
	o := testOptions(t, filepath.Join(dir, "src"))
	o.Out = dir
	o.Version = "v2"
	write(t, o)
	for _, d := range []string{"", "v1", "v1/app"} {
		o.Dir, o.Version = filepath.Join(dir, d), "v1"
		if _, err := Write(context.Background(), o); !errors.Is(err, ErrUsage) {
			t.Errorf("--dir %s --out %s: got %v, want an error in the usage", o.Dir, o.Out, err)
		}
	}
}

func TestRefusalsComeAllAtOnce(t *testing.T) {
	dir := writeTree(t, "index.html", "css/.wh.main.css", "out -> ../../x", "abs -> /etc/passwd", "bad\xff.txt", "fine -> index.html", ".wh.d/child")
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	listen(t, filepath.Join(dir, "socket"))
	_, err := Write(context.Background(), testOptions(t, dir))
	if err == nil {
		t.Fatal("got no error, want one")
	}
	for _, want := range []string{
		"7 files cannot be packed", "css/.wh.main.css: ", "out: symbolic link out of the folder, to ../../x", "abs: symbolic link",
		`"bad\xff.txt": the name is not UTF-8`, ".wh.d: ", "pipe: a FIFO", "socket: a socket",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "fine") || strings.Contains(err.Error(), "child") {
		t.Errorf("got %q, want no other file in it", err)
	}
}

// listen leaves a socket at path. It is bound in its folder, because the name of
// a socket is at most 107 bytes long.
func listen(t *testing.T, path string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	t.Chdir(filepath.Dir(path))
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Base(path)}); err != nil {
		t.Fatal(err)
	}
}

func TestOneRefusalIsOneSentence(t *testing.T) {
	dir := writeTree(t, "index.html", "out -> /x")
	_, err := Write(context.Background(), testOptions(t, dir))
	if want := dir + "/out: symbolic link out of the folder, to /x: "; err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q, want %q and what to do", err, want)
	}
}

func TestRefusalsAreCountedPastTheFirst(t *testing.T) {
	dir := writeTree(t)
	for i := range maxRefused + 5 {
		addToTree(t, dir, fmt.Sprintf(".wh.%02d", i))
	}
	_, err := Write(context.Background(), testOptions(t, dir))
	if err == nil || !strings.Contains(err.Error(), "25 files") || !strings.HasSuffix(err.Error(), "and 5 more") {
		t.Errorf("got %q, want 25 files, the last 5 only counted", err)
	}
}

func TestNamesThatNoLayerHolds(t *testing.T) {
	long := strings.Repeat("x", maxName)
	deep := strings.Repeat("d/", (maxPath-len(rootDir)-1)/2)
	for name, refused := range map[string]bool{
		long: false, long + "x": true, "a/" + long: false,
		deep[:len(deep)-1]: false, deep + "dd": true,
		".regfs": true, "a/.regfs": false, ".regfsignore": false, ".wh.": true, "a/.wh.b": true, ".wh": false, "a.wh.b": false, "stargz.index.json": false,
		"é": false, "\xc3": true,
	} {
		if got := refuseName(name) != ""; got != refused {
			t.Errorf("%.30q of %d bytes: got refused %v, want %v", name, len(name), got, refused)
		}
	}
}

func TestFolderWithNothingToPackIsRefused(t *testing.T) {
	ignored := writeTree(t, "a.log", "folder/")
	if err := os.WriteFile(filepath.Join(ignored, ignoreFile), []byte("*.log"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{writeTree(t), writeTree(t, "only/folders/"), ignored} {
		o := testOptions(t, dir)
		_, err := Write(context.Background(), o)
		if err == nil || !strings.Contains(err.Error(), dir+": empty") {
			t.Errorf("got %v, want that %s is empty", err, dir)
		}
		if _, err := os.Stat(o.Out); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want no folder of results", err)
		}
	}
}

func TestWarningsSayWhere(t *testing.T) {
	dir := writeTree(t, "index.html", "A.txt", "a.txt", "a/A.txt", "nowhere -> gone", "ignored.log", "l -> ignored.log")
	for name, text := range map[string]string{
		"index.html":   "<html>\n<script src=\"/js/x.js\"></script>\n<a href=\"//other/\">",
		"a/page.HTM":   strings.Repeat("<a href='/x'>\n", 12),
		"notes.txt":    `<a href="/x">`,
		".regfsignore": "*.log",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, w := range write(t, testOptions(t, dir)).Warnings {
		got = append(got, strings.Join(w.Lines(), "\n"))
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		"slash (13)", "a/page.HTM:1: href=\"/x\"", "a/page.HTM:10: ", "and 3 more",
		"case (1)", "A.txt and a.txt", "nothing that is packed (2)", "nowhere -> gone", "l -> ignored.log",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("got %q, want %q in it", all, want)
		}
	}
	if len(got) != 3 || strings.Contains(all, "notes.txt") {
		t.Errorf("got %q, want three warnings and none on notes.txt", got)
	}
}

func TestHardLinksAreFiles(t *testing.T) {
	dir := writeTree(t, "a")
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if got, want := write(t, testOptions(t, dir)).Layer.Files, 2; got != want {
		t.Errorf("got %d files, want %d", got, want)
	}
}

func TestUnknownFolderIsNotFound(t *testing.T) {
	_, err := Write(context.Background(), testOptions(t, "no/such/folder"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no/such/folder") {
		t.Errorf("got %v, want that no/such/folder does not exist", err)
	}
}

func TestFileThatVanishesIsNamed(t *testing.T) {
	dir := writeTree(t, "a", "b")
	f, err := scanFolder(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	for name, change := range map[string]func(string) error{
		"a": os.Remove,
		"b": func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o644)) },
	} {
		if err := change(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(f.entries, func(e layer.PackEntry) bool { return e.Name == rootDir+"/"+name })
		_, err := f.Open(f.entries[i])
		if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, name)+": changed") {
			t.Errorf("got %v, want that %s changed", err, name)
		}
	}
}

func TestLayoutIsReplacedAsAWhole(t *testing.T) {
	o := testOptions(t, writeTree(t, "index.html"))
	old := write(t, o)
	addToTree(t, o.Dir, "new.html")
	current := write(t, o)
	if old.Digest == current.Digest {
		t.Fatal("got the same digest for other files")
	}
	files := snapshot(t, current.Path)
	if _, ok := files["blobs/sha256/"+old.Digest.Encoded()]; ok {
		t.Errorf("got %q, want nothing of the old layout", slices.Sorted(maps.Keys(files)))
	}
	if got := files["blobs/sha256/"+current.Digest.Encoded()]; got != current.Digest.String() {
		t.Errorf("got index %q, want %q", got, current.Digest)
	}
	checkNothingLeft(t, o.Out, "v1")
}

// checkNothingLeft makes sure that out holds the layouts named and nothing else.
func checkNothingLeft(t *testing.T, out string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range list {
		got = append(got, d.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q in %s, want %q", got, out, want)
	}
}

// Whoever looks while a layout is replaced, again and again, finds a whole one.
func TestReplacedLayoutIsNeverMissing(t *testing.T) {
	o := testOptions(t, writeTree(t, "index.html"))
	write(t, o)
	stop := make(chan struct{})
	looked := make(chan error)
	go func() {
		var err error
		for err == nil {
			select {
			case <-stop:
				looked <- nil
				return
			default:
				_, err = os.Lstat(filepath.Join(o.Out, "v1"))
			}
		}
		looked <- err
	}()
	for i := range 20 {
		addToTree(t, o.Dir, fmt.Sprintf("f%d", i))
		write(t, o)
	}
	close(stop)
	if err := <-looked; err != nil {
		t.Error(err)
	}
}

func TestErrorLeavesWhatWasThere(t *testing.T) {
	o := testOptions(t, writeTree(t, "index.html", "log.txt"))
	r := write(t, o)
	want := snapshot(t, r.Path)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Write(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	addToTree(t, o.Dir, ".wh.x")
	if _, err := Write(context.Background(), o); err == nil {
		t.Error("got no error, want one")
	}
	if got := snapshot(t, r.Path); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q as before", got, want)
	}
	checkNothingLeft(t, o.Out, "v1")
}

func TestOnlyLayoutsAreReplaced(t *testing.T) {
	dir := writeTree(t, "index.html")
	for _, there := range []string{"v1/precious.txt", "v1/", "v1", "v1 -> elsewhere", "v1/oci-layout"} {
		o := testOptions(t, dir)
		addToTree(t, o.Out, there)
		want := snapshot(t, o.Out)
		_, err := Write(context.Background(), o)
		if err == nil || !strings.Contains(err.Error(), "v1 is not an OCI image layout") {
			t.Errorf("%q: got %v, want that it is no layout", there, err)
		}
		if got := snapshot(t, o.Out); !maps.Equal(got, want) {
			t.Errorf("%q: got %q, want %q as before", there, got, want)
		}
	}
}

func TestLeftoversAreSweptUnlessInUse(t *testing.T) {
	o := testOptions(t, writeTree(t, "index.html"))
	addToTree(t, o.Out, stagingPrefix+"KILLED/blobs/sha256/layer")
	addToTree(t, o.Out, "other/file")
	inUse, err := newStaging(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	write(t, o)
	checkNothingLeft(t, o.Out, filepath.Base(inUse.dir), "other", "v1")
	inUse.discard()
	checkNothingLeft(t, o.Out, "other", "v1")
}

func TestBadOptionsAreErrorsInTheUsage(t *testing.T) {
	dir := writeTree(t, "index.html")
	for name, change := range map[string]func(*Options){
		"empty version":     func(o *Options) { o.Version = "" },
		"dotted version":    func(o *Options) { o.Version = ".v1" },
		"version above":     func(o *Options) { o.Version = ".." },
		"version with path": func(o *Options) { o.Version = "a/b" },
		"long version":      func(o *Options) { o.Version = strings.Repeat("v", 129) },
		"unknown format":    func(o *Options) { o.Format = "zip" },
	} {
		o := testOptions(t, dir)
		change(&o)
		if _, err := Write(context.Background(), o); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: got %v, want an error in the usage", name, err)
		}
	}
}

func TestResultDependsOnFilesAndOptionsAlone(t *testing.T) {
	a := writeTree(t, "index.html", "css/a.css", "l -> index.html", "empty/")
	b := writeTree(t, "empty/", "l -> index.html", "css/a.css", "index.html")
	long := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	for p, mode := range map[string]fs.FileMode{"index.html": 0o600, "css": 0o700, "css/a.css": 0o755} {
		if err := errors.Join(os.Chtimes(filepath.Join(b, p), long, long), os.Chmod(filepath.Join(b, p), mode)); err != nil {
			t.Fatal(err)
		}
	}
	first, second := write(t, testOptions(t, a)), write(t, testOptions(t, b))
	if got, want := snapshot(t, second.Path), snapshot(t, first.Path); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, change := range map[string]func(*Options){
		"created":    func(o *Options) { o.Created = long },
		"annotation": func(o *Options) { o.Annotations = map[string]string{"k": "v"} },
		"title":      func(o *Options) { o.Title = "other" },
	} {
		o := testOptions(t, a)
		change(&o)
		r := write(t, o)
		if r.Digest == first.Digest || r.Layer != first.Layer {
			t.Errorf("%s: got index %q and layer %q, want another index and the same layer", name, r.Digest, r.Layer.Digest)
		}
	}
}
