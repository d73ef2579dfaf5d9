package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
)

// Body is what a registry, or a mirror, sends of a blob. It must be closed.
//
// What is cut short is continued, by a request for the rest. Reads of a whole
// blob are verified: they return an ErrMismatch instead of io.EOF when the
// bytes are not those of the digest. Reads of a part are only counted. Either
// returns ErrUnavailable when the connection is cut again and again, or stalls.
type Body struct {
	io.ReadCloser
	Offset, Length int64 // which bytes of the blob these are
	from           *resumed
}

// FromMirror reports whether some of what was read came from a mirror, so that
// the registry may send something else.
func (b *Body) FromMirror() bool { return b.from != nil && len(b.from.mirrors()) > 0 }

// Reject says that what was read is not what the blob holds there: the mirrors
// that it came from are left alone for a while.
func (b *Body) Reject() {
	if b.from != nil {
		b.from.reject()
	}
}

// Range reads the n bytes at off of a blob of size bytes. A registry may ignore
// ranges and send everything: then Offset is 0 and Length is size, and whoever
// asked had better keep the rest. One that cannot do ranges is asked for whole
// blobs, and for no range again for some minutes.
//
// Errors:
//   - fs.ErrNotExist when the registry does not have the blob (404), or repo
//     or d is not valid (nothing is sent then).
//   - fs.ErrPermission on 401 and 403.
//   - ErrMismatch when the blob has another size.
//   - ErrUnavailable otherwise.
func (c *Client) Range(ctx context.Context, repo string, d digest.Digest, size, off, n int64) (*Body, error) {
	if off < 0 || n <= 0 || n > size-off {
		return nil, fmt.Errorf("blob %s: the range of %d bytes at %d is not inside its %d bytes", cut(string(d)), n, off, size)
	}
	return c.body(ctx, blob{repo, d, size}, off, n)
}

// Blob reads a blob of size bytes. Reading returns ErrMismatch instead of
// io.EOF when what came is not the blob, and never more than size bytes. The
// other errors are those of Range.
func (c *Client) Blob(ctx context.Context, repo string, d digest.Digest, size int64) (*Body, error) {
	return c.body(ctx, blob{repo, d, size}, 0, size)
}

// blob is a blob of a repository.
type blob struct {
	repo   string
	digest digest.Digest
	size   int64
}

// part is an answer with bytes of a blob, as it comes.
type part struct {
	io.ReadCloser
	from           *host
	offset, length int64
}

// body asks for n bytes at off and wraps the answer: it is continued when it is
// cut, counted, and verified if it is the whole blob.
func (c *Client) body(ctx context.Context, b blob, off, n int64) (*Body, error) {
	first, err := c.open(ctx, b, off, n)
	if err != nil {
		return nil, err
	}
	what := first.from.name + ": " + b.what(first.offset, first.length)
	r := &resumed{ctx: ctx, client: c, blob: b, part: first, at: first.offset, end: first.offset + first.length}
	r.use(first)
	v := &verifier{ReadCloser: r, left: first.length, what: what}
	if first.length == b.size {
		v.digest, v.sum = b.digest, b.digest.Verifier()
		v.lied = r.reject
	}
	return &Body{v, first.offset, first.length, r}, nil
}

// open asks for n bytes at off: the mirrors, then the registry.
func (c *Client) open(ctx context.Context, b blob, off, n int64) (*part, error) {
	end := time.Now().Add(c.limits.answer)
	for _, m := range c.usableMirrors(ctx) {
		p, err := m.open(ctx, b, off, n, m.mirrorEnd(end))
		if err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		m.blame(err)
	}
	return c.host.open(ctx, b, off, n, end)
}

// open asks one host, for the range or, if it cannot do ranges, for the blob.
func (h *host) open(ctx context.Context, b blob, off, n int64, end time.Time) (*part, error) {
	if n == b.size || h.noRanges.holds(h.now()) {
		return h.whole(ctx, b, end)
	}
	p, err := h.part(ctx, b, off, n, end)
	if misread(err) { // once may be a mishap of what stands between
		p, err = h.part(ctx, b, off, n, end)
	}
	if !misread(err) && !refusesRanges(err) {
		return p, err
	}
	p, wholeErr := h.whole(ctx, b, end)
	if wholeErr != nil {
		return nil, wholeErr
	}
	h.noRanges.until(h.now().Add(h.limits.noRanges)) // it was the range that was too much
	return p, nil
}

// part asks for a range.
func (h *host) part(ctx context.Context, b blob, off, n int64, end time.Time) (*part, error) {
	r, err := blobRequest(http.MethodGet, b.repo, b.digest)
	if err != nil {
		return nil, err
	}
	r.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", off, off+n-1)}}
	r.what = b.what(off, n)
	r.want = []int{http.StatusOK, http.StatusPartialContent}
	res, err := h.doUntil(ctx, r, end)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return h.wholePart(r, res, b.size)
	}
	return h.rangePart(r, res, b.size, off, n)
}

// whole asks for all of a blob.
func (h *host) whole(ctx context.Context, b blob, end time.Time) (*part, error) {
	r, err := blobRequest(http.MethodGet, b.repo, b.digest)
	if err != nil {
		return nil, err
	}
	res, err := h.doUntil(ctx, r, end)
	if err != nil {
		return nil, err
	}
	return h.wholePart(r, res, b.size)
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
		what:   blob{repo: repo, digest: d}.what(0, 0),
	}, nil
}

// what names n bytes at off of b, for errors.
func (b blob) what(off, n int64) string {
	name := "blob " + string(b.digest) + " of " + b.repo
	if n == b.size {
		return name
	}
	return fmt.Sprintf("bytes %d-%d of %s", off, off+n-1, name)
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

// misread reports whether err is about an answer with another range.
func misread(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.misread
}

func (h *host) wholePart(r *request, res *http.Response, size int64) (*part, error) {
	if res.ContentLength >= 0 && res.ContentLength != size {
		res.Body.Close()
		return nil, mismatch(h.what(r), "the blob has %d bytes, not %d", res.ContentLength, size)
	}
	return &part{res.Body, h, 0, size}, nil
}

func (h *host) rangePart(r *request, res *http.Response, size, off, n int64) (*part, error) {
	got, want := res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, size)
	f := &failure{what: h.what(r), kind: ErrUnavailable, misread: true}
	switch {
	case got != want:
		f.detail = fmt.Sprintf("the answer has the range %s, not %s", strconv.Quote(h.clean(got)), want)
	case res.ContentLength >= 0 && res.ContentLength != n:
		f.detail = fmt.Sprintf("the answer has %d bytes, not %d", res.ContentLength, n)
	default:
		return &part{res.Body, h, off, n}, nil
	}
	res.Body.Close()
	return nil, f
}
