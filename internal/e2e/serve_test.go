package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

// TestEveryFileIsServedAsItIs compares a site file by file, through read(2) and
// through nginx.
func TestEveryFileIsServedAsItIs(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	dir := s.write(t)
	publishDir(t, dir, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	compareTree(t, dir, d.path("my-app/v1"))
	web.compare(t, s, "/my-app/v1/")
}

// compare fetches every file of s below prefix.
func (n *nginx) compare(t testing.TB, s site, prefix string) {
	t.Helper()
	for _, name := range s.names() {
		path := url.URL{Path: prefix + name}
		if got := fetchOK(t, n.url+path.EscapedPath()); !bytes.Equal(got, s[name]) {
			t.Errorf("%s: got %d other bytes than the %d of the source", path.Path, len(got), len(s[name]))
		}
	}
}

// TestTheMountedSiteIsAFileSystem runs the standard library's checks of io/fs.
func TestTheMountedSiteIsAFileSystem(t *testing.T) {
	reg := startRegistry(t)
	// Small files only: the checks read each byte by byte.
	s := smallSite().with(site{"media/noise.bin": noise(1, 20_000)})
	s.publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	if err := fstest.TestFS(os.DirFS(d.path("my-app/v1")), s.names()...); err != nil {
		t.Error(err)
	}
}

// TestAllWaysToAskForASizeAgree compares readdir, stat, fstat and what a read
// gives.
func TestAllWaysToAskForASizeAgree(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	for name, content := range s {
		sizes, err := sizesOf(d.path("my-app/v1", name))
		must(t, err)
		want := fmt.Sprint([]int64{int64(len(content)), int64(len(content)), int64(len(content)), int64(len(content))})
		if got := fmt.Sprint(sizes); got != want {
			t.Errorf("%s: readdir, stat, fstat, read: got %s, want %s", name, got, want)
		}
	}
}

// sizesOf gives the size of a file as readdir, stat, fstat and read know it.
func sizesOf(path string) ([]int64, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	sizes := []int64{-1}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Name() == filepath.Base(path) {
			sizes[0] = info.Size()
		}
	}
	stat, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fstat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	read, err := io.Copy(io.Discard, f)
	return append(sizes, stat.Size(), fstat.Size(), read), err
}

// TestModesAreReadOnly: 0444 and 0555, whoever wrote the layer.
func TestModesAreReadOnly(t *testing.T) {
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	for path, want := range map[string]os.FileMode{
		"":                     os.ModeDir | 0o555,
		"my-app":               os.ModeDir | 0o555,
		"my-app/v1":            os.ModeDir | 0o555,
		"my-app/v1/docs":       os.ModeDir | 0o555,
		"my-app/v1/index.html": 0o444,
	} {
		info, err := os.Stat(d.path(path))
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%q: got mode %v, want %v", path, info.Mode(), want)
		}
	}
}

// TestWritesAreRefusedAsReadOnly tries what changes a file system.
func TestWritesAreRefusedAsReadOnly(t *testing.T) {
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	file, folder := d.path("my-app/v1/index.html"), d.path("my-app/v1/docs")
	for name, write := range map[string]func() error{
		"open for writing": func() error { return os.WriteFile(file, nil, 0o644) },
		"append":           func() error { _, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0); return err },
		"create":           func() error { return os.WriteFile(filepath.Join(folder, "new"), nil, 0o644) },
		"truncate":         func() error { return os.Truncate(file, 0) },
		"remove":           func() error { return syscall.Unlink(file) },
		"remove a folder":  func() error { return syscall.Rmdir(folder) },
		"make a folder":    func() error { return os.Mkdir(filepath.Join(folder, "new"), 0o755) },
		"rename":           func() error { return os.Rename(file, file+"2") },
		"link":             func() error { return os.Link(file, file+"2") },
		"symlink":          func() error { return os.Symlink("x", file+"2") },
		"change the mode":  func() error { return os.Chmod(file, 0o777) },
		"change the owner": func() error { return os.Chown(file, 1, 1) },
		"change the time":  func() error { return syscall.Utimes(file, make([]syscall.Timeval, 2)) },
		"set an attribute": func() error { return syscall.Setxattr(file, "user.a", []byte("b"), 0) },
		"write to a tag":   func() error { return os.Mkdir(d.path("my-app/v9"), 0o755) },
		"write to the top": func() error { return os.Mkdir(d.path("new"), 0o755) },
	} {
		if err := write(); !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: got %v, want %v", name, err, syscall.EROFS)
		}
	}
}

// TestMissingNamesAre404: what is not there is not there, at every level.
func TestMissingNamesAre404(t *testing.T) {
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	for _, path := range []string{
		"my-app/v1/nothing.html",
		"my-app/v1/docs/nothing/below.html",
		"my-app/v1/index.html/below",
		"my-app/v9/index.html",
		"no-such-app/v1/index.html",
		"my-app/v1/" + strings.Repeat("n", 300),
		"my-app/UPPER/x",
		"My-App/v1/index.html",
	} {
		if _, err := os.Stat(d.path(path)); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.ENAMETOOLONG) {
			t.Errorf("stat %s: got %v, want %v", path, err, os.ErrNotExist)
		}
		if got := fetch(t, web.url+"/"+path).status; got != 404 {
			t.Errorf("GET /%s: got %d, want 404", path, got)
		}
	}
}
