package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"
)

// The words of the format, written down a second time: see the package doc.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.alembic.app.config.v1+json"
	typeImage    = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// document is an index or a manifest, as a reader of JSON sees it.
type document struct {
	MediaType string       `json:"mediaType"`
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
	Manifests []descriptor `json:"manifests"`
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *platform         `json:"platform"`
	Annotations map[string]string `json:"annotations"`
	Data        []byte            `json:"data"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

// manifest fetches repo@reference, as an index or a manifest.
func (r *registry) manifest(t testing.TB, repo, reference string) document {
	t.Helper()
	url := fmt.Sprintf("http://%s/v2/%s/manifests/%s", r.host, repo, reference)
	a := fetch(t, url, "Accept", typeIndex, "Accept", typeManifest)
	if a.status != http.StatusOK {
		t.Fatalf("%s: got %d, want 200: %s", url, a.status, a.body)
	}
	return decode[document](t, a.body)
}

// read fetches a blob and checks that it is what d says.
func (r *registry) read(t testing.TB, repo string, d descriptor) []byte {
	t.Helper()
	body := fetchOK(t, fmt.Sprintf("http://%s/v2/%s/blobs/%s", r.host, repo, d.Digest))
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(body)); got != d.Digest || int64(len(body)) != d.Size {
		t.Fatalf("blob %s of %d bytes: got %s of %d bytes", d.Digest, d.Size, got, len(body))
	}
	return body
}

// layer is the site layer that repo:tag names.
func (r *registry) layer(t testing.TB, repo, tag string) descriptor {
	t.Helper()
	index := r.manifest(t, repo, tag)
	return r.manifest(t, repo, index.Manifests[0].Digest).Layers[0]
}

// tocSize is the length in the blob of a layer's table of contents and footer.
func (d descriptor) tocSize(t testing.TB) int64 {
	t.Helper()
	offset, err := strconv.ParseInt(d.Annotations["dev.regfs.toc.offset"], 10, 64)
	must(t, err)
	return d.Size - offset
}

func decode[T any](t testing.TB, text []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %.300s", err, text)
	}
	return v
}
