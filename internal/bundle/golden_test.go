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
	if got, want := r.Layer.Digest.String(), "sha256:c3217f3aa3768ea9e3cba503b17e21f5014b6ce18eb2fcc0d34ad65ff3cbe2dc"; got != want {
		t.Errorf("got layer %q, want %q", got, want)
	}
	if got, want := r.Layer.DiffID.String(), "sha256:e1a47fcf7ba00518b26c97070eb249d090b5481d0ec7fef71d67cb4a43a135ef"; got != want {
		t.Errorf("got diff id %q, want %q", got, want)
	}
	if len(r.Warnings) > 0 {
		t.Errorf("got warnings %v, want none", r.Warnings)
	}
}
