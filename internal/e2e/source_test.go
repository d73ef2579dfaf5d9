package e2e

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// hideLayer takes a layer out of the registry until the test ends.
func (r *registry) hideLayer(t *testing.T, repo, tag string) {
	t.Helper()
	layer := r.blob(r.layer(t, repo, tag).Digest)
	hidden := layer + ".hidden"
	must(t, os.Rename(layer, hidden))
	t.Cleanup(func() { must(t, os.Rename(hidden, layer)) })
}

// TestAFileIsReadFromWhereverItIs: two versions have an equal file, which is one to
// the kernel. The layer of the version that was looked up last is gone from the
// registry, and the content from the cache: the other version's layer has it.
// Another repository's is not asked, whose visitors still get it.
func TestAFileIsReadFromWhereverItIs(t *testing.T) {
	reg := startRegistry(t)
	first := site{"shared.bin": noise(1, 600_000), "index.html": []byte("one")}
	second := first.with(site{"index.html": []byte("two")})
	first.publish(t, reg.host, "my-app", "v1")
	second.publish(t, reg.host, "my-app", "v2")
	first.with(site{"index.html": []byte("three")}).publish(t, reg.host, "other", "v1")
	d := mount(t, reg.host, never)
	for _, version := range []string{"my-app/v2", "other/v1", "my-app/v1"} {
		if _, err := os.Stat(d.path(version, "shared.bin")); err != nil {
			t.Fatal(err)
		}
	}
	spoil := func() {
		t.Helper()
		if n := flipContents(t, d.cache); n == 0 {
			t.Fatal("the cache holds nothing")
		}
	}
	reg.hideLayer(t, "my-app", "v1")
	spoil()
	wantFile(t, d.path("my-app/v2/shared.bin"), second["shared.bin"])

	dropPages(t, d.path("my-app/v2"), site{"shared.bin": nil})
	reg.hideLayer(t, "my-app", "v2")
	spoil()
	if data, err := os.ReadFile(d.path("my-app/v2/shared.bin")); !errors.Is(err, syscall.EIO) {
		t.Errorf("in no layer of its repository: got %d bytes, %v", len(data), err)
	}
	wantFile(t, d.path("other/v1/shared.bin"), first["shared.bin"])
	wantFile(t, d.path("my-app/v2/shared.bin"), first["shared.bin"]) // which it had once, and is here again
}
