package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"
)

// Body is what a registry sends of a blob. It must be closed.
//
// Reads of a whole blob are verified: they return an ErrMismatch instead of
// io.EOF when the bytes are not those of the digest. Reads of a part are only
// counted. Either returns ErrUnavailable when the connection is cut or stalls.
type Body struct {
	io.ReadCloser
	Offset, Length int64 // which bytes of the blob these are
}

// Range reads the n bytes at off of a blob of size bytes. A registry may ignore
// ranges and send everything: then Offset is 0 and Length is size, and whoever
// asked had better keep the rest. One that refuses ranges is asked for whole
// blobs, and for no range again for some minutes.
//
// Errors:
//   - fs.ErrNotExist when the registry does not have the blob (404), or repo
//     or d is not valid (nothing is sent then).
//   - fs.ErrPermission on 401 and 403.
//   - ErrMismatch when the blob has another size.
//   - ErrUnavailable otherwise, also when another range comes than was asked for.
func (c *Client) Range(ctx context.Context, repo string, d digest.Digest, size, off, n int64) (*Body, error) {
	if off < 0 || n <= 0 || n > size-off {
		return nil, fmt.Errorf("blob %s: the range of %d bytes at %d is not inside its %d bytes", cut(string(d)), n, off, size)
	}
	if n == size || c.noRanges.holds(c.now()) {
		return c.whole(ctx, repo, d, size)
	}
	r, err := blobRequest(http.MethodGet, repo, d)
	if err != nil {
		return nil, err
	}
	r.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", off, off+n-1)}}
	r.what = fmt.Sprintf("bytes %d-%d of %s", off, off+n-1, r.what)
	r.want = []int{http.StatusOK, http.StatusPartialContent}
	res, err := c.do(ctx, r)
	if refusesRanges(err) {
		body, err := c.whole(ctx, repo, d, size)
		if err == nil { // so it was the range that was refused
			c.noRanges.until(c.now().Add(c.limits.noRanges))
		}
		return body, err
	}
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return c.wholeBody(r, res, d, size)
	}
	return c.partBody(r, res, size, off, n)
}

// Blob reads a blob of size bytes. Reading returns ErrMismatch instead of
// io.EOF when what came is not the blob, and never more than size bytes. The
// other errors are those of Range.
func (c *Client) Blob(ctx context.Context, repo string, d digest.Digest, size int64) (io.ReadCloser, error) {
	return c.whole(ctx, repo, d, size)
}

func (c *Client) whole(ctx context.Context, repo string, d digest.Digest, size int64) (*Body, error) {
	r, err := blobRequest(http.MethodGet, repo, d)
	if err != nil {
		return nil, err
	}
	res, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.wholeBody(r, res, d, size)
}

func blobRequest(method, repo string, d digest.Digest) (*request, error) {
	if err := checkRepository(repo); err != nil {
		return nil, err
	}
	if _, err := checkDigest(string(d)); err != nil {
		return nil, err
	}
	return &request{
		method: method,
		path:   repo + "/blobs/" + string(d),
		scope:  scope{repository: repo},
		what:   "blob " + string(d) + " of " + repo,
	}, nil
}

// refusesRanges reports whether err is how registries and what stands before
// them say that they cannot do ranges. The range itself was inside the blob,
// so a 416 says nothing else.
func refusesRanges(err error) bool {
	var f *failure
	return errors.As(err, &f) && slices.Contains([]int{
		http.StatusBadRequest,
		http.StatusMethodNotAllowed,
		http.StatusRequestedRangeNotSatisfiable,
		http.StatusNotImplemented,
	}, f.status)
}

func (c *Client) wholeBody(r *request, res *http.Response, d digest.Digest, size int64) (*Body, error) {
	if res.ContentLength >= 0 && res.ContentLength != size {
		res.Body.Close()
		return nil, mismatch(c.what(r), "the blob has %d bytes, not %d", res.ContentLength, size)
	}
	verified := &verifier{ReadCloser: res.Body, left: size, digest: d, sum: d.Verifier(), what: c.what(r)}
	return &Body{verified, 0, size}, nil
}

func (c *Client) partBody(r *request, res *http.Response, size, off, n int64) (*Body, error) {
	got, want := res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, size)
	if got != want {
		res.Body.Close()
		return nil, nonsense(c.what(r), "the answer has the range %s, not %s", strconv.Quote(got), want)
	}
	if res.ContentLength >= 0 && res.ContentLength != n {
		res.Body.Close()
		return nil, nonsense(c.what(r), "the answer has %d bytes, not %d", res.ContentLength, n)
	}
	return &Body{&verifier{ReadCloser: res.Body, left: n, what: c.what(r)}, off, n}, nil
}
