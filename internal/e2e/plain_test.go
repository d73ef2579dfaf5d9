package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestALargePlainLayerIsReadOnce: a layer without a table of contents that is too
// large to be fetched at once comes in one request. Until the last of its bytes
// has been verified no name and no byte is handed out, however much of it is
// there; afterwards all is local.
func TestALargePlainLayerIsReadOnce(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	s := site{
		"index.html": []byte("<!doctype html>first\n"), "a/page.html": []byte("<!doctype html>page\n"),
		"media/film.bin": noise(21, 20<<20), "z.txt": []byte("last\n"),
	}
	small := smallSite()
	small.publish(t, reg.host, "good", "v1")
	var layers []string
	formats := []string{"gzip", "zstd"}
	for _, format := range formats {
		layer := compress(t, gunzip(t, s.tarGz(t)), format)
		reg.putImage(t, format, "v1", imageConfig(), ociPart{mediaType: plainLayer, data: layer})
		layers = append(layers, digest.FromBytes(layer).String())
	}
	proxy := startFaultProxy(t, reg.host)
	release := make(chan struct{})
	gets := proxy.spoil(func(req *http.Request) bool { return blobOf(layers[0])(req) || blobOf(layers[1])(req) }, 0, nearlyAll(release))
	d := mount(t, proxy.host(), never)
	web := startNginx(t, d.dir)
	var looking sync.WaitGroup // each waits for the answer that does not come
	for _, format := range formats {
		looking.Go(func() { wantNothingYet(t, d, format) })
	}
	if got := fetch(t, web.url+"/gzip/v1/index.html"); got.status != http.StatusServiceUnavailable {
		t.Errorf("a page of a layer that is not verified: got %d %q, want 503", got.status, got.body)
	}
	looking.Wait()
	compareTree(t, small.write(t), d.path("good/v1"))
	close(release)
	for _, format := range formats {
		waitFor(t, d.path(format, "v1", "index.html"), s["index.html"])
		compareTree(t, s.write(t), d.path(format, "v1"))
		for name, content := range s {
			if got := fetchOK(t, web.url+"/"+format+"/v1/"+name); !bytes.Equal(got, content) {
				t.Errorf("%s through nginx: got %d bytes, want %d", name, len(got), len(content))
			}
		}
	}
	if got := proxy.seen(gets); len(got) != 2 || got[0] == got[1] {
		t.Errorf("the two layers were asked for %d times: %v", len(got), got)
	}
}

// wantNothingYet looks at a version whose layer is under way.
func wantNothingYet(t *testing.T, d *daemon, repo string) {
	t.Helper()
	if _, err := os.Stat(d.path(repo, "v1", "index.html")); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a name of a layer that is not verified: got %v, want another error than that it is not there", err)
	}
}

// nearlyAll sends a blob but for its end at once, and that in small pieces, as
// many as keep the other side from giving up, until release is closed.
func nearlyAll(release <-chan struct{}) fault {
	return func(w http.ResponseWriter, req *http.Request, p *faultProxy) {
		r, err := p.ask(req)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		const end, piece, pause = 3 << 20, 32 << 10, time.Second
		w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
		w.WriteHeader(r.status)
		sent := len(r.body) - end
		_, _ = w.Write(r.body[:sent])
		for waiting := true; waiting && sent+piece < len(r.body); sent += piece {
			_, _ = w.Write(r.body[sent : sent+piece])
			w.(http.Flusher).Flush()
			select {
			case <-release:
				waiting = false
			case <-time.After(pause):
			case <-req.Context().Done():
				return
			}
		}
		_, _ = w.Write(r.body[sent:])
	}
}

// TestARootDirThatIsNotThere: all of the layers is shown, and regfs status says so.
func TestARootDirThatIsNotThere(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	layer := ociPart{mediaType: gzipLayer, data: s.tarGz(t)}
	for tag, rootDir := range map[string]string{"missing": "app", "file": "index.html", "there": "."} {
		reg.putImage(t, "roots", tag, ociPart{mediaType: typeConfig, data: []byte(`{"rootDir":"` + rootDir + `"}`)}, layer)
	}
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	dir := s.write(t)
	for tag, want := range map[string]string{"missing": `rootDir "app"`, "file": `rootDir "index.html"`, "there": ""} {
		compareTree(t, dir, d.path("roots", tag))
		if got := fetchOK(t, web.url+"/roots/"+tag+"/index.html"); !bytes.Equal(got, s["index.html"]) {
			t.Errorf("%s: got %q through nginx", tag, got)
		}
		got := d.tagStatus(t, "roots", tag)
		if !strings.Contains(got.Warning, want) || want == "" && got.Warning != "" || got.Problem != "" {
			t.Errorf("%s: the status says %q and %q, want %q", tag, got.Warning, got.Problem, want)
		}
	}
}

// TestDevicesAreLeftOutAndTold: images of root file systems hold them. They are
// not shown, hide what is below them, and regfs status says that they are gone.
func TestDevicesAreLeftOutAndTold(t *testing.T) {
	reg := startRegistry(t)
	lower := craft(tarBlock{name: "dev/hidden", content: "x"}, tarBlock{name: "f", content: "f"})
	upper := craft(tarBlock{name: "dev/hidden", kind: '3'}, tarBlock{name: "dev/sda", kind: '4'}, tarBlock{name: "run/pipe", kind: '6'})
	reg.putImage(t, "devices", "v1", imageConfig(), ociPart{mediaType: plainLayer, data: lower}, ociPart{mediaType: plainLayer, data: upper})
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	if got := strings.Join(list(t, d.path("devices/v1")), " "); got != "./ dev/ f" {
		t.Errorf("got %q, want %q", got, "./ dev/ f")
	}
	for _, name := range []string{"dev/hidden", "dev/sda", "run/pipe"} {
		if _, err := os.Lstat(d.path("devices/v1", name)); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("%s: got %v, want %v", name, err, syscall.ENOENT)
		}
		if got := fetch(t, web.url+"/devices/v1/"+name).status; got != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", name, got)
		}
	}
	if got := d.tagStatus(t, "devices", "v1").Warning; !strings.Contains(got, `3 devices, pipes and sockets`) || !strings.Contains(got, `"dev/hidden"`) {
		t.Errorf("the status says %q", got)
	}
}
