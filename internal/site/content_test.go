package site

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/regfs/regfs/internal/tree"
)

func TestSitesAreFileSystems(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open(t.TempDir())
	s := w.load(l, "my-app", "v1", map[string]string{"index.html": "hello", "css/a.css": "a", "big": noise(30<<10, 1)})
	if err := fstest.TestFS(s.Tree.FS(bytesOf{s}), "index.html", "css/a.css", "big"); err != nil {
		t.Error(err)
	}
}

func TestOneFileOfALargeSiteTakesLittle(t *testing.T) {
	w := newWorld(t)
	files := largeSite()
	w.Publish("app", "v1", files)
	l := w.openLarge()
	var s *Site
	requests, sent := w.Since(func() {
		s = w.site(l, "app", "v1")
		wantRead(t, s, fileOf(123), files[fileOf(123)])
	})
	if sent > 120<<10 {
		t.Errorf("got %d bytes by %q, want the table of contents and one member", sent, requests)
	}
	_, sent = w.Since(func() { wantRead(t, s, fileOf(123), files[fileOf(123)]) })
	if sent != 0 {
		t.Errorf("the second time: got %d bytes, want none", sent)
	}
}

func TestAFileOfANewVersionIsAllThatIsFetched(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 300 {
		files[fmt.Sprintf("f%03d", i)] = noise(10<<10, byte(i)) + fmt.Sprint(i)
	}
	w.Publish("app", "v1", files)
	l, _ := w.open(t.TempDir())
	readAll := func(tag string) {
		s := w.site(l, "app", tag)
		for name, want := range files {
			wantRead(t, s, name, want)
		}
	}
	readAll("v1")
	files["f123"] = "changed"
	w.Publish("app", "v2", files)
	requests, sent := w.Since(func() { readAll("v2") })
	var blobs []string
	for _, r := range requests {
		if strings.Contains(r, "/blobs/") {
			blobs = append(blobs, r)
		}
	}
	if len(blobs) != 2 || sent > 130<<10 {
		t.Errorf("got %d bytes by %q, want the table of contents and one member", sent, blobs)
	}
}

func TestDamagedBytesNeverLeave(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("f%02d", i)] = noise(1<<20, byte(i))
	}
	l, _ := w.open(t.TempDir())
	s := w.load(l, "app", "v1", files)
	w.SetAnswer(flipBlobs())
	bad := 0
	for name, want := range files {
		got, err := read(s, name)
		if err == nil && got != want {
			t.Fatalf("%s: wrong bytes left", name)
		}
		if err != nil {
			bad++
		}
	}
	if bad != len(files) {
		t.Errorf("%d of %d damaged files failed", bad, len(files))
	}
	w.SetAnswer(nil)
	eventually(t, "the files are right again", func() bool {
		got, err := read(s, "f00")
		return err == nil && got == files["f00"]
	})
	if n, _ := s.Tree.Lookup(tree.Root, "f01"); s.Local(n) && bad == len(files) {
		t.Error("a damaged file was kept")
	}
}

// flipBlobs flips one bit in the middle of each range of a blob that is sent.
func flipBlobs() func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") || r.Header.Get("X-Flip") != "" {
			return false
		}
		again := r.Clone(r.Context())
		again.RequestURI = ""
		again.URL.Scheme, again.URL.Host = "http", r.Host
		again.Header.Set("User-Agent", "publisher")
		res, err := http.DefaultTransport.RoundTrip(again)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		data[len(data)/2] ^= 1
		for k, v := range res.Header {
			rw.Header()[k] = v
		}
		rw.WriteHeader(res.StatusCode)
		_, _ = rw.Write(data)
		return true
	}
}

func TestManyReadersOfOneFileFetchItOnce(t *testing.T) {
	w := newWorld(t)
	big := noise(20<<20, 9)
	l, _ := w.open(t.TempDir())
	s := w.load(l, "app", "v1", map[string]string{"big": big, "other": "x"})
	want := sha256.Sum256([]byte(big))
	requests, sent := w.Since(func() {
		var wait sync.WaitGroup
		for range 16 {
			wait.Go(func() {
				got, err := read(s, "big")
				if err != nil || sha256.Sum256([]byte(got)) != want {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
			})
		}
		wait.Wait()
	})
	if sent > 21<<20 {
		t.Errorf("got %d bytes by %d requests, want the file once", sent, len(requests))
	}
}
