package registry

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"github.com/opencontainers/go-digest"
)

// HasBlob reports whether the registry has a blob of size bytes, without reading
// it. One that does not answer such questions is believed to have what its
// manifests name. That it does not have the blob is no error; else the errors
// are those of Range.
func (c *Client) HasBlob(ctx context.Context, repo string, d digest.Digest, size int64) (bool, error) {
	r, err := blobRequest(http.MethodHead, repo, d)
	if err != nil {
		return false, err
	}
	r.want = []int{http.StatusOK, http.StatusMethodNotAllowed, http.StatusNotImplemented}
	res, err := c.do(ctx, r)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK && res.ContentLength > 0 && res.ContentLength != size {
		return false, mismatch(c.what(r), "the blob has %d bytes, not %d", res.ContentLength, size)
	}
	return true, nil
}
