package registry

import (
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
)

// readAllOf reads a manifest and the layer's bytes, all of them and a part.
func readAllOf(t *testing.T, c *Client, repo, reference string, root digest.Digest, layer blob) {
	t.Helper()
	m, err := c.Manifest(testContext(t), repo, reference)
	if err != nil || m.Digest != root {
		t.Errorf("manifest: got %s, %v, want %s", m.Digest, err, root)
	}
	for _, off := range []int64{0, 7} {
		body, err := c.Range(testContext(t), repo, layer.digest, layer.size, off, layer.size-off)
		if err != nil {
			t.Error(err)
			continue
		}
		// Some registries do ranges only up to what they call the end.
		if got, err := readBody(t, body); err != nil || int64(len(got)) != body.Length || body.Length < layer.size-off {
			t.Errorf("range at %d: got %d bytes, %v", off, len(got), err)
		}
	}
}

// quickRegistry is one in this process: where several are needed, Debian's
// would take seconds to start.
func quickRegistry(t *testing.T) string {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// mirrored is a registry with app:v1, and a mirror of it, both counted.
func mirrored(t *testing.T) (origin, mirror *counter, root digest.Digest, layer blob) {
	addr := quickRegistry(t)
	root, desc := pushed(t, newClient(t, addr), "app", "v1")
	return countRequests(t, addr), countRequests(t, addr), root, blob{"app", desc.Digest, desc.Size}
}

func TestMirrorsAreAskedFirstForWhatHasADigest(t *testing.T) {
	origin, mirror, root, layer := mirrored(t)
	c := newClient(t, origin.addr(), WithMirrors(mirror.addr()))
	readAllOf(t, c, "app", "v1", root, layer)
	if got := origin.take("GET"); len(got) != 0 {
		t.Errorf("the registry was asked %q, want only whether there is a tag", got)
	}
	if got := mirror.take("GET"); len(got) != 3 {
		t.Errorf("the mirror was asked %q, want a manifest and two ranges", got)
	}
	if _, err := c.Manifest(testContext(t), "app", "v2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a tag that is not there: got %v, want fs.ErrNotExist", err)
	}
	if got := mirror.take("GET", "HEAD"); len(got) != 0 {
		t.Errorf("for a tag that is not there the mirror was asked %q, want nothing", got)
	}
}

func TestAMirrorThatFailsIsLeftAloneForAWhile(t *testing.T) {
	for name, refuse := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"500": func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		},
		"401": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusUnauthorized); return true },
		"429": func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		},
		"reset": func(w http.ResponseWriter, r *http.Request) bool { reset(w, r); return true },
		"other bytes of a manifest": func(w http.ResponseWriter, r *http.Request) bool {
			io.WriteString(w, someManifest)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			origin, mirror, root, layer := mirrored(t)
			mirror.refuse = refuse
			c := impatient(newClient(t, origin.addr(), WithMirrors(mirror.addr())))
			now := time.Now()
			c.now = func() time.Time { return now }
			readAllOf(t, c, "app", "v1", root, layer)
			if got := mirror.take("GET"); len(got) < 1 || len(got) > tries || !strings.Contains(got[0], "manifests") {
				t.Errorf("the mirror was asked %q, want for the manifest alone", got)
			}
			now = now.Add(c.limits.lied)
			readAllOf(t, c, "app", "v1", root, layer)
			if got := mirror.take("GET"); len(got) < 1 {
				t.Errorf("after a while the mirror was not asked again")
			}
		})
	}
}

// A mirror that lacks something has not failed.
func TestAMirrorMayLackSomething(t *testing.T) {
	origin, mirror, root, layer := mirrored(t)
	mirror.refuse = func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true }
	c := newClient(t, origin.addr(), WithMirrors(mirror.addr()))
	readAllOf(t, c, "app", "v1", root, layer)
	if got := mirror.take("GET"); len(got) != 3 {
		t.Errorf("the mirror was asked %q, want for all", got)
	}
}

func TestAMirrorsWrongBytesAreAskedForElsewhere(t *testing.T) {
	origin, mirror, _, layer := mirrored(t)
	mirror.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
		io.WriteString(w, strings.Repeat("x", int(layer.size)))
		return true
	}
	c := newClient(t, origin.addr(), WithMirrors(mirror.addr()))
	body, err := c.Blob(testContext(t), "app", layer.digest, layer.size)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readBody(t, body); !errors.Is(err, ErrMismatch) {
		t.Errorf("got %v, want ErrMismatch", err)
	}
	body, err = c.Blob(testContext(t), "app", layer.digest, layer.size)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readBody(t, body); err != nil || body.FromMirror() {
		t.Errorf("the second time: got %v, want the registry's bytes", err)
	}
}

func TestWhatAMirrorSentCanBeRejected(t *testing.T) {
	origin, mirror, _, layer := mirrored(t)
	c := newClient(t, origin.addr(), WithMirrors(mirror.addr()))
	body, err := c.Blob(testContext(t), "app", layer.digest, layer.size)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	io.CopyN(io.Discard, body, 10)
	mirror.take("GET")
	if !body.FromMirror() {
		t.Error("got that nothing came from a mirror")
	}
	body.Reject()
	again, err := c.Blob(testContext(t), "app", layer.digest, layer.size)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if got := mirror.take("GET"); len(got) != 0 {
		t.Errorf("after that the mirror was asked %q, want nothing", got)
	}
}

// While the registry is away a mirror may say what a tag names of which nothing
// is known, but not that a known one has moved.
func TestMirrorsAnswerWhileTheRegistryIsAway(t *testing.T) {
	_, mirror, root, layer := mirrored(t)
	c := newClient(t, freeAddr(t), WithMirrors(freeAddr(t), mirror.addr()))
	readAllOf(t, c, "app", "v1", root, layer)
	if _, err := c.Head(testContext(t), "app", "v1"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Head: got %v, want ErrUnavailable", err)
	}
	if _, err := c.Manifest(testContext(t), "app", "v2"); !errors.Is(err, ErrUnavailable) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a tag that the mirror lacks: got %v, want ErrUnavailable", err)
	}
}

func TestAMirrorDoesNotOpenWhatTheRegistryRefuses(t *testing.T) {
	_, mirror, root, _ := mirrored(t)
	c := newClient(t, privateRegistry(t), WithMirrors(mirror.addr()))
	for _, reference := range []string{"v1", string(root)} {
		if _, err := c.Manifest(testContext(t), "app", reference); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: got %v, want fs.ErrPermission", reference, err)
		}
	}
}

func TestAMirrorsPrefixIsBeforeTheRepository(t *testing.T) {
	addr := quickRegistry(t)
	root, desc := pushed(t, newClient(t, addr), "hub/proxy/app", "v1")
	c := newClient(t, freeAddr(t), WithMirrors("http://"+addr+"/hub/proxy/"))
	readAllOf(t, c, "app", "v1", root, blob{"app", desc.Digest, desc.Size})
	for _, bad := range []string{"host/Not/valid", "host/a//b", "ho st", "http://host/..", ""} {
		if _, err := New("localhost", WithMirrors(bad)); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}
