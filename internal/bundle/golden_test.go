package bundle

import (
	"path/filepath"
	"testing"
)

// The site in app/ has this digest on every machine. When app/ changed, so does
// the constant; when it did not, something in the packer or in a library
// (archive/tar, encoding/json, klauspost/compress) did, and every site that is
// bundled again gets a new layer.
func TestAppGolden(t *testing.T) {
	o := testOptions(t, filepath.Join("..", "..", "app"))
	r := write(t, o)
	if got, want := r.Layer.Digest.String(), "sha256:6a02be9e1229fa76627e02289aee0c19adf813277ac3a9b7a0f9dccb571315f0"; got != want {
		t.Errorf("got layer %q, want %q", got, want)
	}
	if got, want := r.Layer.DiffID.String(), "sha256:52d8dcb619d53c7d414b191c0fd69f41660b5122f6a54a0e164201ec13b9a2f2"; got != want {
		t.Errorf("got diff id %q, want %q", got, want)
	}
	if len(r.Warnings) > 0 {
		t.Errorf("got warnings %v, want none", r.Warnings)
	}
}
