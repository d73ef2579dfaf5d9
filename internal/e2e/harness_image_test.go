package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// putBlob stores a blob as any client of the distribution protocol would.
func (r *registry) putBlob(t testing.TB, repo string, data []byte) {
	t.Helper()
	r.putBlobAs(t, repo, data, digest.FromBytes(data))
}

func (r *registry) putBlobAs(t testing.TB, repo string, data []byte, d digest.Digest) {
	t.Helper()
	begin := send(t, http.MethodPost, "http://"+r.host+"/v2/"+repo+"/blobs/uploads/", "", nil)
	place, err := url.Parse("http://" + r.host)
	must(t, err)
	place, err = place.Parse(begin.header.Get("Location"))
	must(t, err)
	query := place.Query()
	query.Set("digest", d.String())
	place.RawQuery = query.Encode()
	if a := send(t, http.MethodPut, place.String(), "application/octet-stream", data); a.status != http.StatusCreated {
		t.Fatalf("blob %s of %s: got %d: %s", d, repo, a.status, a.body)
	}
}

// putDocument stores a manifest or index under a tag or its digest.
func (r *registry) putDocument(t testing.TB, repo, reference, mediaType string, doc []byte) {
	t.Helper()
	a := send(t, http.MethodPut, "http://"+r.host+"/v2/"+repo+"/manifests/"+reference, mediaType, doc)
	if a.status != http.StatusCreated {
		t.Fatalf("%s:%s: got %d: %s", repo, reference, a.status, a.body)
	}
}

func send(t testing.TB, method, to, mediaType string, body []byte) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, to, bytes.NewReader(body))
	must(t, err)
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return answer{resp.StatusCode, resp.Header, text}
}

// ociPart is a layer or a configuration: its bytes, its type, its annotations.
type ociPart struct {
	mediaType   string
	data        []byte
	annotations map[string]string
	urls        []string
	absent      bool // the blob is not stored
}

func titled(title, content string) ociPart {
	return ociPart{mediaType: "text/plain", data: []byte(content), annotations: map[string]string{"org.opencontainers.image.title": title}}
}

func (p ociPart) describe() map[string]any {
	d := map[string]any{"mediaType": p.mediaType, "digest": digest.FromBytes(p.data), "size": len(p.data)}
	if p.annotations != nil {
		d["annotations"] = p.annotations
	}
	if p.urls != nil {
		d["urls"] = p.urls
	}
	return d
}

// putImage stores a manifest with its blobs under a tag, and gives it.
func (r *registry) putImage(t testing.TB, repo, tag string, config ociPart, layers ...ociPart) []byte {
	t.Helper()
	described := make([]any, 0, len(layers))
	for _, p := range append([]ociPart{config}, layers...) {
		if !p.absent {
			r.putBlob(t, repo, p.data)
		}
		described = append(described, p.describe())
	}
	doc := encode(t, map[string]any{"schemaVersion": 2, "mediaType": typeManifest, "config": described[0], "layers": described[1:]})
	r.putDocument(t, repo, tag, typeManifest, doc)
	return doc
}

// putIndex stores an index of documents; each is a descriptor.
func (r *registry) putIndex(t testing.TB, repo, tag string, entries ...map[string]any) []byte {
	t.Helper()
	doc := encode(t, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": entries})
	r.putDocument(t, repo, tag, typeIndex, doc)
	return doc
}

// entryOf describes a document for an index; platform is OS/ARCHITECTURE or "".
func entryOf(mediaType string, doc []byte, platform string) map[string]any {
	d := map[string]any{"mediaType": mediaType, "digest": digest.FromBytes(doc), "size": len(doc)}
	if parts := strings.Split(platform, "/"); len(parts) > 1 {
		p := map[string]string{"os": parts[0], "architecture": parts[1]}
		if len(parts) > 2 {
			p["variant"] = parts[2]
		}
		d["platform"] = p
	}
	return d
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	return text
}

// emptyConfig is the configuration of an artifact that has none.
func emptyConfig() ociPart {
	return ociPart{mediaType: "application/vnd.oci.empty.v1+json", data: []byte("{}")}
}

// imageConfig is one that makes a manifest a container image.
func imageConfig() ociPart {
	return ociPart{mediaType: typeImage, data: []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)}
}

// compareRoots fails the test for every name in which the mounted folder differs
// from a root file system that another tool unpacked: its kind and bytes, and
// for links where they lead inside of the root.
func compareRoots(t testing.TB, unpacked, mounted string) {
	t.Helper()
	root, err := unix.Open(unpacked, unix.O_PATH|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(root)
	want, got := describeRoot(t, unpacked), describeRoot(t, mounted)
	for name, kind := range want {
		if got[name] != kind {
			t.Errorf("%q: got %q, unpacked it is %q", name, got[name], kind)
			continue
		}
		if kind == "folder" {
			continue
		}
		if w, g := readInRoot(root, name), readFile(filepath.Join(mounted, name)); w != g {
			t.Errorf("%q (%s): got %.100q, unpacked it is %.100q", name, kind, g, w)
		}
	}
	for name, kind := range got {
		if want[name] == "" {
			t.Errorf("%q: got a %s, unpacked there is none", name, kind)
		}
	}
	if len(want) < 3 {
		t.Errorf("only %d names to compare", len(want))
	}
}

// describeRoot gives the kind of each name below dir.
func describeRoot(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range list(t, dir) {
		kind := "file"
		if strings.HasSuffix(name, "/") {
			kind = "folder"
		}
		name = strings.TrimSuffix(name, "/")
		info, err := os.Lstat(filepath.Join(dir, name))
		must(t, err)
		if info.Mode()&os.ModeSymlink != 0 {
			kind = "link"
		}
		if name != "." {
			found[name] = kind
		}
	}
	return found
}

// readInRoot reads what name leads to in a root of its own.
func readInRoot(root int, name string) string {
	fd, err := unix.Openat2(root, name, &unix.OpenHow{Flags: unix.O_RDONLY, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return err.Error()
	}
	return readFile(fmt.Sprintf("/proc/self/fd/%d", fd), fd)
}

// readFile is the content of a file, or "folder", or the error; fds are closed.
func readFile(path string, fds ...int) string {
	for _, fd := range fds {
		defer unix.Close(fd)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return "folder"
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
