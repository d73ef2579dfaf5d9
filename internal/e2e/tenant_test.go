package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
)

// TestADigestOpensNoOtherRepository: all of one tenant's version is in the cache and
// known to the kernel. Another, who knows every digest of it, gets nothing by asking
// for them in a repository of their own, as a path or through nginx.
func TestADigestOpensNoOtherRepository(t *testing.T) {
	reg := startRegistry(t)
	secret := smallSite()
	index := secret.publish(t, reg.host, "alice/site", "v1")
	site{"index.html": []byte("mallory")}.publish(t, reg.host, "mallory/site", "v1")
	proxy := startFaultProxy(t, reg.host)
	d := mount(t, proxy.host(), never)
	web := startNginx(t, d.dir)
	wantSite(t, d.path("alice/site/v1"), secret)
	wantSite(t, d.path("alice/site@"+index), secret)
	wantFile(t, d.path("mallory/site/v1/index.html"), []byte("mallory"))
	manifest := reg.manifest(t, "alice/site", index).Manifests[0].Digest
	layer := reg.layer(t, "alice/site", "v1").Digest
	for _, digest := range []string{index, manifest, layer} {
		for _, name := range []string{"mallory/site@" + digest, "mallory@" + digest, "nobody@" + digest} {
			wantErrno(t, d.path(name), syscall.ENOENT)
			wantErrno(t, d.path(name, "index.html"), syscall.ENOENT)
			if got := fetch(t, web.url+"/"+name+"/index.html").status; got != http.StatusNotFound {
				t.Errorf("%s through nginx: got %d, want 404", name, got)
			}
		}
	}
	// A registry that answers nothing for the other repository says nothing of it.
	proxy.spoil(func(*http.Request) bool { return true }, 0, status(http.StatusForbidden))
	wantErrno(t, d.path("mallory/other@"+index), syscall.EACCES)
	proxy.heal()

	// The registry itself takes no manifest whose blobs are another's.
	doc := fetchOK(t, fmt.Sprintf("http://%s/v2/alice/site/manifests/%s", reg.host, manifest), "Accept", typeManifest)
	a := send(t, http.MethodPut, fmt.Sprintf("http://%s/v2/mallory/site/manifests/stolen", reg.host), typeManifest, doc)
	if a.status/100 == 2 {
		t.Errorf("a manifest that names another's blobs: got %d, want a refusal", a.status)
	}
	wantErrno(t, d.path("mallory/site/stolen"), syscall.ENOENT)
}

// TestMountsOfTheirOwnShareNothing: what one tenant's mount has is not in another's,
// which shows nothing of the first.
func TestMountsOfTheirOwnShareNothing(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "alice/site", "v1")
	s.publish(t, reg.host, "mallory/site", "v1")
	alice := mount(t, reg.host, never, "--repo=alice/*")
	relay := startRelay(t, reg.host)
	mallory := mount(t, relay.host, never, "--repo=mallory/*")
	wantSite(t, alice.path("alice/site/v1"), s)
	mark := relay.mark()
	wantSite(t, mallory.path("mallory/site/v1"), s)
	if got := bytesOf(relay.since(mark, "blobs")); got < int64(len(s["media/noise.bin"])) {
		t.Errorf("got %d bytes of blobs: the content came from elsewhere", got)
	}
	for d, other := range map[*daemon]string{alice: "mallory/site/v1", mallory: "alice/site/v1"} {
		wantErrno(t, d.path(other), syscall.ENOENT)
		if got, err := filepath.Glob(d.path("*", "*")); err != nil || len(got) != 1 {
			t.Errorf("got %q, %v, want one repository", got, err)
		}
	}
}
