package e2e

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"testing"
)

// pair is two versions of a site under one tag: index.html is edited without
// changing its size, all else stays.
func pair() (before, after site) {
	before = smallSite().with(site{"index.html": []byte("<h1>AAAAAAAA</h1>\n")})
	return before, before.with(site{"index.html": []byte("<h1>BBBBBBBB</h1>\n")})
}

// waitFor waits until the file at path holds want: until the mount has noticed
// that a tag moved.
func waitFor(t testing.TB, path string, want []byte) {
	t.Helper()
	var got []byte
	var err error
	if !eventually(startLimit, func() bool { got, err = os.ReadFile(path); return err == nil && bytes.Equal(got, want) }) {
		t.Fatalf("%s: got %.100q, %v, want %.100q", path, got, err, want)
	}
}

// TestAnETagIsGoodForItsBytesOnly moves a tag to a version with an edit that
// keeps the size: browsers that ask with the old ETag get the new bytes, and
// those that ask for what did not change hear so.
func TestAnETagIsGoodForItsBytesOnly(t *testing.T) {
	reg := startRegistry(t)
	before, after := pair()
	before.publish(t, reg.host, "my-app", "latest")
	d := mount(t, reg.host, quick)
	web := startNginx(t, d.dir)
	page, style := web.url+"/my-app/latest/index.html", web.url+"/my-app/latest/css/style.css"
	oldPage, oldStyle := fetch(t, page).header.Get("ETag"), fetch(t, style).header.Get("ETag")

	if got := fetch(t, page, "If-None-Match", oldPage).status; got != http.StatusNotModified {
		t.Errorf("before the move: got %d, want 304", got)
	}
	after.publish(t, reg.host, "my-app", "latest")
	waitFor(t, d.path("my-app/latest/index.html"), after["index.html"])
	if a := fetch(t, page, "If-None-Match", oldPage); a.status != http.StatusOK || !bytes.Equal(a.body, after["index.html"]) {
		t.Errorf("the edited page with its old ETag: got %d %q, want 200 %q", a.status, a.body, after["index.html"])
	}
	if a := fetch(t, page, "If-Range", oldPage, "Range", "bytes=2-5"); a.status != http.StatusOK {
		t.Errorf("a range of the edited page with its old ETag: got %d, want 200 and all of it", a.status)
	}
	if got := fetch(t, style, "If-None-Match", oldStyle).status; got != http.StatusNotModified {
		t.Errorf("an unchanged file with its old ETag: got %d, want 304", got)
	}
}

// TestAnOpenFileKeepsItsVersion: who has opened a file before a tag moves reads
// it to the end; who opens it after reads the new one.
func TestAnOpenFileKeepsItsVersion(t *testing.T) {
	reg := startRegistry(t)
	before := smallSite()
	after := before.with(site{"media/noise.bin": noise(3, 3<<20)})
	before.publish(t, reg.host, "my-app", "latest")
	d := mount(t, reg.host, quick)
	path := d.path("my-app/latest/media/noise.bin")
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	folder, err := os.Open(d.path("my-app/latest"))
	must(t, err)
	defer folder.Close()
	start := make([]byte, 10)
	_, err = io.ReadFull(f, start)
	must(t, err)

	after.with(site{"new.html": nil}).publish(t, reg.host, "my-app", "latest")
	waitFor(t, path, after["media/noise.bin"])
	rest, err := io.ReadAll(f)
	must(t, err)
	if want := before["media/noise.bin"]; !bytes.Equal(append(start, rest...), want) {
		t.Errorf("the open file: got %d other bytes than the %d of its version", 10+len(rest), len(want))
	}
	names, err := folder.Readdirnames(-1)
	must(t, err)
	for _, name := range names {
		if name == "new.html" {
			t.Errorf("the open folder: got %q, which the version at its opening has not", name)
		}
	}
}

// TestANewTagAppears: a tag pushed while the mount runs is there, though its
// name was asked for, and missing, before.
func TestANewTagAppears(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	d := mount(t, reg.host, quick)
	if _, err := os.Stat(d.path("my-app/v2/index.html")); !os.IsNotExist(err) {
		t.Errorf("before the push: got %v, want %v", err, os.ErrNotExist)
	}
	s.publish(t, reg.host, "my-app", "v2")
	waitFor(t, d.path("my-app/v2/index.html"), s["index.html"])
	s.publish(t, reg.host, "other/app", "v1")
	waitFor(t, d.path("other/app/v1/index.html"), s["index.html"])
}
