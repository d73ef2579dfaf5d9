package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxManifest is the largest manifest or index in bytes, the size that the
// distribution spec asks all registries to take.
const MaxManifest = 4 << 20

// The media types of what a tag can name.
const (
	dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
)

// schema1 is how the media types begin of what docker wrote before 2016. Its
// digest is that of a part of the document, without the signatures, and nothing
// can be read from it anyway: it is handed on as it is, so that whoever asked
// can say what it is.
const schema1 = "application/vnd.docker.distribution.manifest.v1+"

var manifestTypes = []string{ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, dockerManifestList, dockerManifest}

// Manifest is a manifest or an index as the registry keeps it.
type Manifest struct {
	MediaType string
	Digest    digest.Digest // of Bytes
	Bytes     []byte        // at most MaxManifest, verified unless it is of docker's schema 1
}

// Manifest reads the manifest or index that reference, a tag or a digest,
// names. It is verified: against the digest that was asked for, or the one
// that the registry says the tag has. A registry that says none is believed.
// With mirrors it is the registry that says whether there is one, and which, and
// mirrors are asked for the bytes, or for all of it while it cannot be reached.
//
// Errors:
//   - fs.ErrNotExist on 404, and for an invalid repo or reference (nothing is
//     sent then).
//   - fs.ErrPermission on 401 and 403.
//   - ErrMismatch when the bytes are not those of the digest, or are of two minds
//     about what they are.
//   - ErrUnavailable otherwise, also when the manifest is larger than
//     MaxManifest.
//
// Bytes that have the digest which the registry says and are no manifest at all are
// no error here: it is the version that is bad, not the registry. Without a word of
// the registry about the digest they are ErrUnavailable.
func (c *Client) Manifest(ctx context.Context, repo, reference string) (Manifest, error) {
	if len(c.mirrors) == 0 {
		return c.manifest(ctx, repo, reference, time.Now().Add(c.limits.answer))
	}
	d, err := c.head(ctx, repo, reference, scope{repository: repo})
	switch {
	case err == nil && d != "":
		if m, ok := c.fromMirrors(ctx, repo, string(d)); ok {
			return m, nil
		}
		reference = string(d)
	case errors.Is(err, ErrUnavailable):
		if m, ok := c.fromMirrors(ctx, repo, reference); ok {
			return m, nil
		}
		return Manifest{}, err
	case err != nil:
		return Manifest{}, err
	}
	return c.manifest(ctx, repo, reference, time.Now().Add(c.limits.answer))
}

// manifest reads a manifest from one host.
func (h *host) manifest(ctx context.Context, repo, reference string, end time.Time) (Manifest, error) {
	r, want, err := manifestRequest(http.MethodGet, repo, reference)
	if err != nil {
		return Manifest{}, err
	}
	var m Manifest
	err = h.retry(ctx, end, func() error {
		m, err = h.readManifest(ctx, r, want, end)
		return err
	})
	return m, err
}

// readManifest sends r once and reads the answer to its end.
func (h *host) readManifest(ctx context.Context, r *request, want digest.Digest, end time.Time) (Manifest, error) {
	res, err := h.send(ctx, r, end)
	if err != nil {
		return Manifest{}, err
	}
	defer res.Body.Close()
	data, err := readAll(res.Body, MaxManifest, h.what(r))
	if err != nil {
		return Manifest{}, err
	}
	if want == "" {
		if want, err = h.announced(r, res); err != nil {
			return Manifest{}, err
		}
	}
	vouched := want != ""
	if !vouched {
		want = digest.FromBytes(data)
	}
	if t := res.Header.Get("Content-Type"); strings.HasPrefix(t, schema1) {
		return Manifest{MediaType: t, Digest: want, Bytes: data}, nil
	}
	if got := want.Algorithm().FromBytes(data); got != want {
		return Manifest{}, mismatch(h.what(r), "the digest of what came is %s, not %s", got, want)
	}
	mediaType, err := manifestType(res.Header.Get("Content-Type"), data)
	switch {
	case err == nil, vouched && errors.Is(err, errNotJSON):
		return Manifest{MediaType: mediaType, Digest: want, Bytes: data}, nil
	case vouched:
		return Manifest{}, mismatch(h.what(r), "%v", err)
	}
	// Perhaps a page to log in, of whatever stands between: the registry did not
	// answer, or it would have said the digest.
	return Manifest{}, h.nonsense(h.what(r), "%v", err)
}

// errNotJSON means that a manifest is none.
var errNotJSON = errors.New("the manifest is not JSON")

// Head returns the digest that a tag has now, without its manifest where the
// registry can do that. Its errors are those of Manifest.
func (c *Client) Head(ctx context.Context, repo, tag string) (digest.Digest, error) {
	return c.HeadSince(ctx, repo, tag, "")
}

// HeadSince is Head for a tag that had the digest known, or "". A registry that
// can say that it has it still need not look for more.
func (c *Client) HeadSince(ctx context.Context, repo, tag string, known digest.Digest) (digest.Digest, error) {
	if err := checkTag(tag); err != nil {
		return "", err
	}
	d, err := c.headSince(ctx, repo, tag, known, scope{repository: repo})
	if err != nil || d != "" {
		return d, err
	}
	m, err := c.Manifest(ctx, repo, tag)
	return m.Digest, err
}

// head is a HEAD of a tag or digest. The digest is "" when the registry does
// not say it, or takes no HEAD.
func (h *host) head(ctx context.Context, repo, reference string, s scope) (digest.Digest, error) {
	return h.headSince(ctx, repo, reference, "", s)
}

func (h *host) headSince(ctx context.Context, repo, reference string, known digest.Digest, s scope) (digest.Digest, error) {
	r, _, err := manifestRequest(http.MethodHead, repo, reference)
	if err != nil {
		return "", err
	}
	r.scope = s
	r.want = []int{http.StatusOK, http.StatusMethodNotAllowed, http.StatusNotImplemented}
	if known != "" { // the digest is what registries take for the ETag
		r.header.Set("If-None-Match", `"`+known.String()+`"`)
		r.want = append(r.want, http.StatusNotModified)
	}
	res, err := h.do(ctx, r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return h.announced(r, res)
	case http.StatusNotModified:
		return known, nil
	}
	return "", nil
}

// manifestRequest checks what is asked for; want is the digest when reference
// is one.
func manifestRequest(method, repo, reference string) (r *request, want digest.Digest, err error) {
	if err := checkRepository(repo); err != nil {
		return nil, "", err
	}
	separator := ":"
	if strings.Contains(reference, ":") {
		want, err = checkDigest(reference)
		separator = "@"
	} else {
		err = checkTag(reference)
	}
	return &request{
		method: method,
		path:   repo + "/manifests/" + reference,
		header: http.Header{"Accept": {strings.Join(manifestTypes, ", ")}},
		scope:  scope{repository: repo},
		what:   "manifest " + repo + separator + reference,
	}, want, err
}

// checkDigest gives strings that are no digest the error of one that no
// registry has.
func checkDigest(s string) (digest.Digest, error) {
	d, err := digest.Parse(s)
	if err != nil {
		return "", fmt.Errorf("%q is not a digest (%w): %w", cut(s), err, fs.ErrNotExist)
	}
	return d, nil
}

// announced is the digest in the answer's header, "" when there is none.
func (h *host) announced(r *request, res *http.Response) (digest.Digest, error) {
	value := res.Header.Get("Docker-Content-Digest")
	if value == "" {
		return "", nil
	}
	d, err := digest.Parse(value)
	if err != nil {
		return "", h.nonsense(h.what(r), "the answer's digest %q: %v", value, err)
	}
	return d, nil
}

// manifestType is what the answer says the manifest is, or else what the
// manifest says. Where both speak they must agree: bytes that are read as an
// index by some and as an image by others hide one of the two
// (CVE-2021-41190).
func manifestType(header string, data []byte) (string, error) {
	outside, _, typeErr := mime.ParseMediaType(header)
	var inside struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(data, &inside); err != nil {
		return outside, fmt.Errorf("%w: %w", errNotJSON, err)
	}
	switch {
	case inside.MediaType == "":
		return outside, nil
	case typeErr == nil && slices.Contains(manifestTypes, outside) && outside != inside.MediaType:
		return "", fmt.Errorf("the manifest came as %s and says that it is %s", outside, clean(inside.MediaType))
	}
	return inside.MediaType, nil
}
