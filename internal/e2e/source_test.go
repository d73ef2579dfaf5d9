package e2e

import (
	"os"
	"testing"
)

// TestAFileIsReadFromWhereverItIs: two versions have an equal file, which is one to
// the kernel. The layer of the version that was looked up last is gone from the
// registry, and the content from the cache: the other version's layer has it.
func TestAFileIsReadFromWhereverItIs(t *testing.T) {
	reg := startRegistry(t)
	first := site{"shared.bin": noise(1, 600_000), "index.html": []byte("one")}
	second := first.with(site{"index.html": []byte("two")})
	first.publish(t, reg.host, "my-app", "v1")
	second.publish(t, reg.host, "my-app", "v2")
	first.publish(t, reg.host, "other", "v1")
	for name, last := range map[string][2]string{"of the same repository": {"my-app", "v1"}, "of another": {"other", "v1"}} {
		t.Run(name, func(t *testing.T) {
			d := mount(t, reg.host, never)
			for _, path := range []string{d.path("my-app/v2/shared.bin"), d.path(last[0], last[1], "shared.bin")} {
				if _, err := os.Stat(path); err != nil {
					t.Fatal(err)
				}
			}
			layer := reg.blob(reg.layer(t, last[0], last[1]).Digest)
			hidden := layer + ".hidden"
			must(t, os.Rename(layer, hidden))
			t.Cleanup(func() { must(t, os.Rename(hidden, layer)) })
			if n := flipContents(t, d.cache); n == 0 {
				t.Fatal("the cache holds nothing")
			}
			wantFile(t, d.path("my-app/v2/shared.bin"), second["shared.bin"])
		})
	}
}
