package registry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pushed pushes a layout and returns its layer that is the first.
func pushed(t *testing.T, c *Client, repo string, tags ...string) (root digest.Digest, layer ocispec.Descriptor) {
	t.Helper()
	for _, tag := range tags {
		dir := filepath.Join(t.TempDir(), tag)
		root = writeLayout(t, dir)
		p, err := c.Push(testContext(t), dir, repo, tag, PushOptions{})
		if err != nil || p.Digest != root {
			t.Fatalf("push: %s, %v", p.Digest, err)
		}
		desc, data, err := layout{dir}.root(tag)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := layout{dir}.plan(desc, data)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(plan.blobs, func(d ocispec.Descriptor) bool { return d.MediaType == ocispec.MediaTypeImageLayerGzip })
		layer = plan.blobs[i]
	}
	return root, layer
}

func TestReadingARealRegistry(t *testing.T) {
	proxy := countRequests(t, startRegistry(t, ""))
	c := newClient(t, proxy.addr())
	root, layer := pushed(t, c, "team/docs", "v1", "latest", "v0")
	pushed(t, c, "app", "v1")
	ctx := testContext(t)

	got, whole, err := c.Repositories(ctx)
	if want := []string{"app", "team/docs"}; err != nil || !slices.Equal(got, want) || !whole {
		t.Errorf("Repositories: got %q, all of them: %v, %v, want %q", got, whole, err, want)
	}
	got, err = c.Tags(ctx, "team/docs")
	if want := []string{"latest", "v0", "v1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Tags: got %q, %v, want %q", got, err, want)
	}
	for name, want := range map[string]bool{"app": true, "team/docs": true, "team": false, "nobody": false, "a/../b": false} {
		if has, err := c.HasRepository(ctx, name); has != want || err != nil {
			t.Errorf("HasRepository(%q): got %v, %v, want %v", name, has, err, want)
		}
	}
	d, err := c.Head(ctx, "team/docs", "v0")
	if err != nil || d != root {
		t.Errorf("Head: got %s, %v, want %s", d, err, root)
	}
	for _, reference := range []string{"v0", string(root)} {
		m, err := c.Manifest(ctx, "team/docs", reference)
		if err != nil || m.Digest != root || digest.FromBytes(m.Bytes) != root || m.MediaType != ocispec.MediaTypeImageIndex {
			t.Errorf("Manifest(%q): got %s %s, %v, want %s", reference, m.MediaType, m.Digest, err, root)
		}
	}
	checkRanges(t, c, "team/docs", layer)
	if pings := slices.Contains(proxy.take("GET"), "GET /v2/"); pings {
		t.Error("a registry that lets everyone in was pinged")
	}
}

func checkRanges(t *testing.T, c *Client, repo string, layer ocispec.Descriptor) {
	t.Helper()
	ctx := testContext(t)
	body, err := c.Blob(ctx, repo, layer.Digest, layer.Size)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := readBody(t, body)
	if err != nil || digest.FromString(whole) != layer.Digest {
		t.Fatalf("Blob: got %d bytes, %v, want %d of %s", len(whole), err, layer.Size, layer.Digest)
	}
	for _, r := range [][2]int64{{0, 1}, {7, 100}, {layer.Size - 1, 1}, {layer.Size - 51, 51}, {0, layer.Size}, {1, layer.Size - 1}} {
		part, err := c.Range(ctx, repo, layer.Digest, layer.Size, r[0], r[1])
		if err != nil {
			t.Errorf("Range %d: %v", r, err)
			continue
		}
		got, err := readBody(t, part)
		if err != nil || part.Offset != r[0] || part.Length != r[1] || got != whole[r[0]:r[0]+r[1]] {
			t.Errorf("Range %d: got %d bytes for %d at %d, %v", r, len(got), part.Length, part.Offset, err)
		}
	}
	for _, r := range [][2]int64{{-1, 1}, {0, 0}, {0, layer.Size + 1}, {layer.Size, 1}, {1, layer.Size}, {1<<63 - 1, 1<<63 - 1}} {
		if _, err := c.Range(ctx, repo, layer.Digest, layer.Size, r[0], r[1]); err == nil {
			t.Errorf("Range %d of %d bytes: got no error", r, layer.Size)
		}
	}
}

func TestWhatIsNotThereIsNotExist(t *testing.T) {
	c := newClient(t, startRegistry(t, ""))
	pushed(t, c, "app", "v1")
	ctx := testContext(t)
	for what, f := range map[string]func() error{
		"tags of":  func() error { _, err := c.Tags(ctx, "nobody"); return err },
		"tag":      func() error { _, err := c.Manifest(ctx, "app", "v2"); return err },
		"head":     func() error { _, err := c.Head(ctx, "app", "v2"); return err },
		"manifest": func() error { _, err := c.Manifest(ctx, "app", someDigest); return err },
		"blob":     func() error { _, err := c.Blob(ctx, "app", someDigest, 83); return err },
		"range":    func() error { _, err := c.Range(ctx, "app", someDigest, 83, 1, 5); return err },
	} {
		err := f()
		if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "404 Not Found") {
			t.Errorf("%s: got %v, want fs.ErrNotExist with 404", what, err)
		}
	}
}

func TestWrongNamesSendNothing(t *testing.T) {
	proxy := countRequests(t, "localhost:1")
	c := newClient(t, proxy.addr())
	ctx := testContext(t)
	for _, name := range names {
		errs := map[string]error{}
		if !ValidRepository(name) {
			_, errs["Tags"] = c.Tags(ctx, name)
			_, errs["Manifest"] = c.Manifest(ctx, name, "v1")
			_, errs["Head"] = c.Head(ctx, name, "v1")
			_, errs["Blob"] = c.Blob(ctx, name, someDigest, 83)
			_, errs["Range"] = c.Range(ctx, name, someDigest, 83, 1, 5)
		}
		if !ValidTag(name) {
			_, errs["Head of tag"] = c.Head(ctx, "app", name)
			_, errs["Manifest of tag"] = c.Manifest(ctx, "app", name)
			_, errs["Blob of digest"] = c.Blob(ctx, "app", digest.Digest(name), 83)
		}
		for method, err := range errs {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s(%q): got %v, want fs.ErrNotExist", method, name, err)
			}
		}
	}
	if got := proxy.take("GET", "HEAD", "POST", "PUT"); len(got) != 0 {
		t.Errorf("got requests %q, want none", got)
	}
}

func TestPrivateRegistry(t *testing.T) {
	proxy := countRequests(t, privateRegistry(t))
	c := newClient(t, proxy.addr(), as(testUser, testPassword))
	root, layer := pushed(t, c, "app", "v1")
	m, err := c.Manifest(testContext(t), "app", "v1")
	if err != nil || m.Digest != root {
		t.Errorf("got %s, %v, want %s", m.Digest, err, root)
	}
	checkRanges(t, c, "app", layer)
	pings := 0
	for _, r := range proxy.take("GET") {
		if r == "GET /v2/" {
			pings++
		}
	}
	if pings != 1 {
		t.Errorf("got %d pings, want 1", pings)
	}
	for name, opt := range map[string]Option{"nobody": as("", ""), "wrong password": as(testUser, testPassword+"x")} {
		c := newClient(t, proxy.addr(), opt)
		for what, err := range deniedReads(t, c) {
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "docker login "+proxy.addr()) || strings.Contains(err.Error(), testPassword) {
				t.Errorf("%s: %s: got %v, want fs.ErrPermission and advice without the password", name, what, err)
			}
		}
	}
}

func deniedReads(t *testing.T, c *Client) map[string]error {
	ctx := testContext(t)
	errs := map[string]error{}
	_, _, errs["Repositories"] = c.Repositories(ctx)
	_, errs["Tags"] = c.Tags(ctx, "app")
	_, errs["HasRepository"] = c.HasRepository(ctx, "app")
	_, errs["Manifest"] = c.Manifest(ctx, "app", "v1")
	_, errs["Head"] = c.Head(ctx, "app", "v1")
	_, errs["Blob"] = c.Blob(ctx, "app", someDigest, 83)
	return errs
}

// Docker Hub's and GHCR's way: 401, then a token for the repository.
func TestTokensAreFetchedOncePerRepository(t *testing.T) {
	registry := countRequests(t, startRegistry(t, ""))
	pushed(t, newClient(t, registry.addr()), "app", "v1")
	pushed(t, newClient(t, registry.addr()), "docs", "v1")
	var generation, expired string
	registry.mu.Lock()
	registry.requests = nil
	generation = "1"
	registry.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		registry.mu.Lock()
		defer registry.mu.Unlock()
		repo := strings.Split(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")[0]
		scope := "repository:" + repo + ":pull"
		switch auth := r.Header.Get("Authorization"); {
		case r.URL.Path == "/token":
			fmt.Fprintf(w, `{"access_token": %q}`, r.URL.Query().Get("scope")+generation)
			return true
		case auth == "Bearer "+scope+generation:
			r.Header.Del("Authorization")
			return false
		case auth != "":
			expired = auth
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test",scope=%q`, r.Host, scope))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	registry.mu.Unlock()
	c := newClient(t, registry.addr())
	read := func(times int) {
		t.Helper()
		for range times {
			for _, repo := range []string{"app", "docs"} {
				if _, err := c.Manifest(testContext(t), repo, "v1"); err != nil {
					t.Error(err)
				}
			}
		}
	}
	read(3)
	want := []string{
		"GET /v2/app/manifests/v1", "GET /token", "GET /v2/app/manifests/v1", "GET /token", "GET /v2/docs/manifests/v1",
		"GET /v2/app/manifests/v1", "GET /v2/docs/manifests/v1", "GET /v2/app/manifests/v1", "GET /v2/docs/manifests/v1",
	}
	if got := registry.take("GET"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	registry.mu.Lock()
	generation = "2"
	registry.mu.Unlock()
	read(2)
	if got := registry.take("GET"); len(got) != 8 || expired == "" {
		t.Errorf("after the tokens expired: got %q, want one more try and one token for each repository", got)
	}
}

// Somebody runs docker login while a mount is up.
func TestNewCredentialsAreFound(t *testing.T) {
	addr := privateRegistry(t)
	password := "old"
	c := newClient(t, addr, WithKeychain(func(string) (string, string, error) { return testUser, password, nil }))
	c.limits.login = 0
	if _, err := c.Tags(testContext(t), "app"); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("got %v, want fs.ErrPermission", err)
	}
	password = testPassword
	if _, err := c.Tags(testContext(t), "app"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist of one who was let in", err)
	}
}

func TestRottenBlobIsAMismatch(t *testing.T) {
	addr := startRegistry(t, "")
	proxy := countRequests(t, addr)
	_, layer := pushed(t, newClient(t, addr), "app", "v1")
	rotten := strings.Repeat("x", int(layer.Size))
	proxy.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
		io.WriteString(w, rotten)
		return true
	}
	body, err := newClient(t, proxy.addr()).Blob(testContext(t), "app", layer.Digest, layer.Size)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readBody(t, body)
	if !errors.Is(err, ErrMismatch) || int64(len(got)) > layer.Size {
		t.Errorf("got %d bytes, %v, want ErrMismatch", len(got), err)
	}
}
