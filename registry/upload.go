package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func (p *push) sendBlob(ctx context.Context, desc ocispec.Descriptor) error {
	there, err := p.hasBlob(ctx, desc)
	if err != nil {
		return err
	}
	if there {
		p.count(func(n *Progress) { n.There, n.ThereBytes = n.There+1, n.ThereBytes+desc.Size })
		return nil
	}
	where, mounted := p.mount(ctx, desc)
	if mounted {
		p.count(func(n *Progress) { n.Mounted, n.MountedBytes = n.Mounted+1, n.MountedBytes+desc.Size })
		return nil
	}
	err = p.retry(ctx, time.Time{}, func() error {
		err := p.upload(ctx, desc, where)
		where = nil
		return err
	})
	if errors.Is(err, fs.ErrNotExist) && !hasStatus(err) {
		return fmt.Errorf("blob %s is neither in %s nor in %s/%s: %w", desc.Digest, p.layout.dir, p.name, p.repo, fs.ErrNotExist)
	}
	if err == nil {
		p.count(func(n *Progress) { n.Sent++ })
	}
	return err
}

// hasStatus reports whether err is a registry's answer, not about a file.
func hasStatus(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.status != 0
}

func (p *push) hasBlob(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	r, err := blobRequest(http.MethodHead, p.repo, desc.Digest)
	if err != nil {
		return false, err
	}
	r.scope = p.scope()
	res, err := p.do(ctx, r)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if res.ContentLength > 0 && res.ContentLength != desc.Size {
		return false, mismatch(p.what(r), "the registry's blob has %d bytes, the layout says %d", res.ContentLength, desc.Size)
	}
	return true, nil
}

// mount asks for a blob of the repository that it may be in. A registry that does not
// mount it says where to put it instead. One that says neither, for whatever reason,
// is asked where to put it as if this had not been tried: if something is wrong it
// will be said then. Source: distribution-spec, "Mounting a blob from another
// repository".
func (p *push) mount(ctx context.Context, desc ocispec.Descriptor) (where *url.URL, mounted bool) {
	if p.from == "" || p.from == p.repo {
		return nil, false
	}
	r := p.startRequest()
	r.scope.from = p.from
	r.query = url.Values{"mount": {string(desc.Digest)}, "from": {p.prefix + p.from}}.Encode()
	r.want = append(r.want, http.StatusCreated)
	res, err := p.send(ctx, r, time.Time{})
	if err != nil {
		return nil, false
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusCreated {
		return nil, true
	}
	where, _ = p.locationOf(r, res, desc)
	return where, false
}

// upload sends a blob once: a POST that says where to, unless that is known, and a
// PUT with all of it, which every registry takes.
func (p *push) upload(ctx context.Context, desc ocispec.Descriptor, where *url.URL) error {
	blob, err := p.layout.open(desc)
	if err != nil {
		return err
	}
	blob.Close() // it is there: the registry need not be asked in vain
	if where == nil {
		if where, err = p.startUpload(ctx, desc); err != nil {
			return err
		}
	}
	var last *sending
	r := &request{
		method: http.MethodPut,
		url:    where,
		scope:  p.scope(),
		what:   "blob " + string(desc.Digest) + " to " + p.repo,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		want:   []int{http.StatusCreated, http.StatusNoContent},
		size:   desc.Size,
	}
	r.body = func() (io.ReadCloser, error) {
		if err := last.abandon(); err != nil {
			return nil, err
		}
		blob, err := p.layout.open(desc)
		if err != nil {
			return nil, err
		}
		last = &sending{verifier: blob, push: p}
		return last, nil
	}
	res, err := p.send(ctx, r, time.Time{})
	if err != nil {
		return cmp.Or(last.abandon(), err)
	}
	return res.Body.Close()
}

// startUpload asks where to put a blob.
func (p *push) startUpload(ctx context.Context, desc ocispec.Descriptor) (*url.URL, error) {
	r := p.startRequest()
	res, err := p.send(ctx, r, time.Time{})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return p.locationOf(r, res, desc)
}

func (p *push) startRequest() *request {
	return &request{
		method: http.MethodPost,
		path:   p.repo + "/blobs/uploads/",
		scope:  p.scope(),
		what:   "an upload to " + p.repo,
		want:   []int{http.StatusAccepted},
	}
}

// locationOf is where the answer to r says to put a blob.
func (p *push) locationOf(r *request, res *http.Response, desc ocispec.Descriptor) (*url.URL, error) {
	where, err := res.Request.URL.Parse(res.Header.Get("Location"))
	if err != nil || res.Header.Get("Location") == "" {
		return nil, p.nonsense(p.what(r), "the answer does not say where to send the blob")
	}
	if where.Host == p.name {
		where.Scheme = p.scheme // behind proxies registries do not know their scheme
	}
	if where.Scheme != "https" && where.Scheme != p.scheme {
		return nil, p.nonsense(p.what(r), "refused to send the blob to a %s address", clean(where.Scheme))
	}
	query := where.Query()
	query.Set("digest", string(desc.Digest))
	where.RawQuery = query.Encode()
	return where, nil
}

// sending is the body of an upload. It lets the last bytes go only when the
// whole has its digest. The transport may still read it when the answer is
// there.
type sending struct {
	*verifier
	push *push

	// Guarded by push.mu.
	bytes   int64 // counted as sent
	over    bool  // nothing is counted any more
	corrupt error
}

func (s *sending) Read(b []byte) (int, error) {
	n, err := s.verifier.Read(b)
	if err == nil && s.left == 0 {
		err = s.finish()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		n = 0
	}
	s.push.count(func(p *Progress) {
		if errors.Is(err, ErrMismatch) {
			s.corrupt = err
		}
		if !s.over {
			s.bytes += int64(n)
			p.SentBytes += int64(n)
		}
	})
	return n, err
}

// abandon takes back what was counted of a try that came to nothing, and
// returns what was wrong with the file, if something was.
func (s *sending) abandon() (corrupt error) {
	if s == nil {
		return nil
	}
	s.push.count(func(p *Progress) {
		p.SentBytes -= s.bytes
		s.bytes, s.over = 0, true
		corrupt = s.corrupt
	})
	return corrupt
}
