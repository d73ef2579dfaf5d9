package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blobText is what the blob of a lying registry should be.
var (
	blobText   = strings.Repeat("0123456789", 10_000)
	blobSize   = int64(len(blobText))
	blobDigest = digest.FromString(blobText)
)

// lie starts a registry that answers as h does, and a client with short waits.
func lie(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return impatient(newClient(t, s.Listener.Addr().String()))
}

// impatient makes a client's limits short enough for tests, and long enough for
// a busy machine.
func impatient(c *Client) *Client {
	c.limits.header, c.limits.answer = 2*time.Second, 2*time.Second
	c.limits.stall, c.limits.send = 500*time.Millisecond, 500*time.Millisecond
	c.limits.retry = time.Millisecond
	return c
}

// partial answers a range with any header and body.
func partial(contentRange, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", contentRange)
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, body)
	}
}

func TestRangesThatLie(t *testing.T) {
	const off, n = 10, 20
	good := "bytes 10-29/100000"
	part := blobText[off : off+n]
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"honest":          {partial(good, part), nil},
		"other start":     {partial("bytes 0-19/100000", part), ErrUnavailable},
		"other end":       {partial("bytes 10-30/100000", part), ErrUnavailable},
		"other total":     {partial("bytes 10-29/100001", part), ErrUnavailable},
		"unknown total":   {partial("bytes 10-29/*", part), ErrUnavailable},
		"other unit":      {partial("lines 10-29/100000", part), ErrUnavailable},
		"no range":        {partial("", part), ErrUnavailable},
		"nonsense":        {partial("bytes 29-10/100000", part), ErrUnavailable},
		"overflow":        {partial("bytes 10-99999999999999999999/100000", part), ErrUnavailable},
		"announced short": {partial(good, part[1:]), ErrUnavailable},
		"announced long":  {partial(good, part+"x"), ErrUnavailable},
		"short":           {chunked(partial(good, part[1:])), ErrMismatch},
		"long":            {chunked(partial(good, part+"x")), ErrMismatch},
		"multipart":       {multipart(part), ErrUnavailable},
		"cut":             {cutOff(good, part), ErrUnavailable},
		"status 204":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, ErrUnavailable},
		"status 500":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			c := lie(t, test.answer)
			body, err := c.Range(testContext(t), "app", blobDigest, blobSize, off, n)
			got := ""
			if err == nil {
				got, err = readBody(t, body)
			}
			if len(got) > n || !errors.Is(err, test.want) || test.want == nil && (err != nil || got != part) {
				t.Errorf("got %q, %v, want %v", got, err, test.want)
			}
		})
	}
}

// chunked sends h's body without a length.
func chunked(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h(flushing{w}, r)
	}
}

type flushing struct{ http.ResponseWriter }

func (f flushing) WriteHeader(status int) {
	f.ResponseWriter.WriteHeader(status)
	f.ResponseWriter.(http.Flusher).Flush()
}

func multipart(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "multipart/byteranges; boundary=x")
		w.WriteHeader(http.StatusPartialContent)
		fmt.Fprintf(w, "--x\r\nContent-Range: bytes 10-29/100000\r\n\r\n%s\r\n--x--\r\n", body)
	}
}

// cutOff announces the whole body and closes the connection in the middle.
func cutOff(contentRange, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", contentRange)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, body[:len(body)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestWholeBlobInsteadOfARangeIsAGift(t *testing.T) {
	whole := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, blobText) }
	unknown := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		whole(w, r)
	}
	for name, answer := range map[string]http.HandlerFunc{"known length": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(blobText)))
		whole(w, r)
	}, "unknown length": unknown} {
		t.Run(name, func(t *testing.T) {
			body, err := lie(t, answer).Range(testContext(t), "app", blobDigest, blobSize, 10, 20)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readBody(t, body)
			if err != nil || got != blobText || body.Offset != 0 || body.Length != blobSize {
				t.Errorf("got %d bytes for %d at %d, %v, want the whole blob", len(got), body.Length, body.Offset, err)
			}
		})
	}
}

func TestRefusedRangesAreRemembered(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestedRangeNotSatisfiable, http.StatusNotImplemented} {
		var ranges, wholes atomic.Int32
		c := lie(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				ranges.Add(1)
				w.WriteHeader(status)
				return
			}
			wholes.Add(1)
			io.WriteString(w, blobText)
		})
		now := time.Now()
		c.now = func() time.Time { return now }
		read := func() {
			t.Helper()
			body, err := c.Range(testContext(t), "app", blobDigest, blobSize, 10, 20)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := readBody(t, body); err != nil || got != blobText {
				t.Errorf("%d: got %d bytes, %v, want all", status, len(got), err)
			}
		}
		read()
		read()
		if ranges.Load() != 1 || wholes.Load() != 2 {
			t.Errorf("%d: got %d requests for ranges and %d for all, want 1 and 2", status, ranges.Load(), wholes.Load())
		}
		now = now.Add(c.limits.noRanges + time.Second)
		read()
		if ranges.Load() != 2 {
			t.Errorf("%d: after a while: got %d requests for ranges, want 2", status, ranges.Load())
		}
	}
}

func TestBlobsThatLie(t *testing.T) {
	for name, test := range map[string]struct {
		body   string
		length bool
		want   error
	}{
		"honest":           {blobText, true, nil},
		"no length":        {blobText, false, nil},
		"flipped":          {"x" + blobText[1:], true, ErrMismatch},
		"announced short":  {blobText[1:], true, ErrMismatch},
		"announced long":   {blobText + "x", true, ErrMismatch},
		"short":            {blobText[1:], false, ErrMismatch},
		"long":             {blobText + "x", false, ErrMismatch},
		"empty":            {"", true, ErrMismatch},
		"very much longer": {strings.Repeat(blobText, 20), false, ErrMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			c := lie(t, func(w http.ResponseWriter, _ *http.Request) {
				if test.length {
					w.Header().Set("Content-Length", strconv.Itoa(len(test.body)))
				} else {
					w.(http.Flusher).Flush()
				}
				io.WriteString(w, test.body)
			})
			got := ""
			body, err := c.Blob(testContext(t), "app", blobDigest, blobSize)
			if err == nil {
				got, err = readBody(t, body)
			}
			if len(got) > len(blobText) || !errors.Is(err, test.want) || test.want == nil && (err != nil || got != blobText) {
				t.Errorf("got %d bytes, %v, want %v", len(got), err, test.want)
			}
		})
	}
}

const someManifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`

func manifestAnswer(mediaType, contentDigest, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		if contentDigest != "" {
			w.Header().Set("Docker-Content-Digest", contentDigest)
		}
		io.WriteString(w, body)
	}
}

func TestManifestsThatLie(t *testing.T) {
	sha256, sha512 := digest.FromString(someManifest), digest.SHA512.FromString(someManifest)
	index := ocispec.MediaTypeImageIndex
	for name, test := range map[string]struct {
		answer    http.HandlerFunc
		reference string
		want      error
		digest    digest.Digest
	}{
		"honest":             {manifestAnswer(index, string(sha256), someManifest), "v1", nil, sha256},
		"no digest":          {manifestAnswer(index, "", someManifest), "v1", nil, sha256},
		"sha512":             {manifestAnswer(index, string(sha512), someManifest), "v1", nil, sha512},
		"no type":            {manifestAnswer("", "", someManifest), "v1", nil, sha256},
		"vague type":         {manifestAnswer("application/json; charset=utf-8", "", someManifest), "v1", nil, sha256},
		"asked by digest":    {manifestAnswer(index, someDigest, someManifest), string(sha256), nil, sha256},
		"asked by sha512":    {manifestAnswer(index, "", someManifest), string(sha512), nil, sha512},
		"other bytes of tag": {manifestAnswer(index, someDigest, someManifest), "v1", ErrMismatch, ""},
		"other bytes":        {manifestAnswer(index, someDigest, someManifest), someDigest, ErrMismatch, ""},
		"digest is nonsense": {manifestAnswer(index, "sha256:../..", someManifest), "v1", ErrUnavailable, ""},
		"of two minds":       {manifestAnswer(ocispec.MediaTypeImageManifest, "", someManifest), "v1", ErrUnavailable, ""},
		"a log-in page":      {manifestAnswer("text/html", "", "<html>please log in</html>"), "v1", ErrUnavailable, ""},
		"endless":            {endless, "v1", ErrUnavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := lie(t, test.answer).Manifest(testContext(t), "app", test.reference)
			if test.want != nil {
				if !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				return
			}
			if err != nil || m.Digest != test.digest || string(m.Bytes) != someManifest || m.MediaType != index {
				t.Errorf("got %s %s %q, %v, want %s", m.MediaType, m.Digest, m.Bytes, err, test.digest)
			}
		})
	}
}

func endless(w http.ResponseWriter, _ *http.Request) {
	chunk := []byte(strings.Repeat(" ", 1<<16))
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func TestHeadAsksForTheManifestWhenItMust(t *testing.T) {
	for name, head := range map[string]http.HandlerFunc{
		"no digest": func(http.ResponseWriter, *http.Request) {},
		"no HEAD":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) },
	} {
		c := lie(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				head(w, r)
				return
			}
			manifestAnswer(ocispec.MediaTypeImageIndex, "", someManifest)(w, r)
		})
		if got, err := c.Head(testContext(t), "app", "v1"); err != nil || got != digest.FromString(someManifest) {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
}

func TestListingsEnd(t *testing.T) {
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other host was asked") }))
	t.Cleanup(other.Close)
	for name, test := range map[string]struct {
		link func(n int32, r *http.Request) string
		want int32 // requests
	}{
		"no link":         {func(int32, *http.Request) string { return "" }, 1},
		"two pages":       {func(n int32, _ *http.Request) string { return map[int32]string{1: "/v2/_catalog?last=b"}[n] }, 2},
		"relative":        {func(n int32, _ *http.Request) string { return map[int32]string{1: "?last=b"}[n] }, 2},
		"itself":          {func(_ int32, r *http.Request) string { return r.URL.String() }, 1},
		"in a circle":     {func(n int32, _ *http.Request) string { return fmt.Sprintf("?last=%d", n%3) }, 4},
		"other host":      {func(int32, *http.Request) string { return other.URL + "/v2/_catalog?last=b" }, 1},
		"other list":      {func(int32, *http.Request) string { return "/v2/secret/tags/list" }, 1},
		"garbage":         {func(int32, *http.Request) string { return "::%zz" }, 1},
		"always one more": {func(n int32, _ *http.Request) string { return fmt.Sprintf("?last=%d", n) }, maxPages},
	} {
		t.Run(name, func(t *testing.T) {
			asked.Store(0)
			c := lie(t, func(w http.ResponseWriter, r *http.Request) {
				if link := test.link(asked.Add(1), r); link != "" {
					w.Header().Set("Link", "<"+link+`>; rel="next"`)
				}
				io.WriteString(w, `{"repositories": ["b", "../x", "a", "", "A", "b"]}`)
			})
			got, err := c.Repositories(testContext(t))
			if want := []string{"a", "b"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			if asked.Load() != test.want {
				t.Errorf("got %d requests, want %d", asked.Load(), test.want)
			}
		})
	}
}

func TestListingsAreBounded(t *testing.T) {
	page := `{"tags": ["` + strings.Repeat(`v1","`, 9_999) + `v2"]}`
	var asked atomic.Int32
	c := lie(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", fmt.Sprintf(`<?last=%d>; rel=next`, asked.Add(1)))
		io.WriteString(w, page)
	})
	got, err := c.Tags(testContext(t), "app")
	if want := []string{"v1", "v2"}; err != nil || !slices.Equal(got, want) || asked.Load() != 10 {
		t.Errorf("got %q, %v after %d requests, want %q after 10", got, err, asked.Load(), want)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"endless":    endless,
		"not a list": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
	} {
		if _, err := lie(t, answer).Tags(testContext(t), "app"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: got %v, want ErrUnavailable", name, err)
		}
	}
}

func TestNoTagsIsAnEmptyList(t *testing.T) {
	c := lie(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"name": "app", "tags": null}`) })
	if got, err := c.Tags(testContext(t), "app"); err != nil || len(got) != 0 {
		t.Errorf("got %q, %v, want no tags", got, err)
	}
}

func TestStatusKinds(t *testing.T) {
	for status, want := range map[int]error{
		401: fs.ErrPermission, 403: fs.ErrPermission, 404: fs.ErrNotExist,
		400: ErrUnavailable, 405: ErrUnavailable, 410: ErrUnavailable, 418: ErrUnavailable, 429: ErrUnavailable,
		500: ErrUnavailable, 501: ErrUnavailable, 502: ErrUnavailable, 503: ErrUnavailable, 204: ErrUnavailable, 304: ErrUnavailable,
	} {
		c := lie(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		_, err := c.Tags(testContext(t), "app")
		for _, kind := range []error{fs.ErrPermission, fs.ErrNotExist, ErrUnavailable, ErrMismatch} {
			if got := errors.Is(err, kind); got != (kind == want) {
				t.Errorf("%d: got %v, want %v", status, err, want)
			}
		}
	}
}

func TestErrorsQuoteLittleOfTheRegistry(t *testing.T) {
	const secret = "S3CR3T"
	for name, body := range map[string]string{
		"text":  "\x1b[31mred\r\n\x00 see https://user:" + secret + "@host/path?sig=" + secret + " " + strings.Repeat("ä", 5000),
		"JSON":  `{"errors": [{"code": "UNKNOWN", "message": "\u001b[31mred https://host/path?sig=` + secret + `\u202e"}, {"code": "OTHER"}]}`,
		"bytes": "\xff\xfe" + strings.Repeat("x", 1<<20),
	} {
		c := lie(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, body)
		})
		_, err := c.Tags(testContext(t), "app")
		got := err.Error()
		if len(got) > 800 || strings.ContainsAny(got, "\x00\x1b\r\n\u202e") || !utf8.ValidString(got) || strings.Contains(got, secret) {
			t.Errorf("%s: got %q, want a short clean line", name, got)
		}
		if !strings.Contains(got, "GET the tags of app: 403 Forbidden") {
			t.Errorf("%s: got %q, want what was asked", name, got)
		}
	}
}

// What is redirected takes no credentials along, and goes only where it may.
func TestRedirects(t *testing.T) {
	var seen atomic.Value
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization") + r.Header.Get("Referer"))
		switch r.URL.Path {
		case "/gone":
			w.WriteHeader(http.StatusNotFound)
		case "/expired":
			w.WriteHeader(http.StatusForbidden)
		default:
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(blobText))
		}
	}))
	t.Cleanup(storage.Close)
	for name, test := range map[string]struct {
		to   string
		want error
		text string
	}{
		"storage":       {storage.URL + "/blob?sig=S3CR3T", nil, ""},
		"gone":          {storage.URL + "/gone?sig=S3CR3T", ErrUnavailable, "404 Not Found (from "},
		"expired":       {storage.URL + "/expired?sig=S3CR3T", ErrUnavailable, "403 Forbidden (from "},
		"itself":        {"?sig=S3CR3T", ErrUnavailable, "more than 5 redirects"},
		"link-local":    {"http://169.254.169.254/latest/?sig=S3CR3T", ErrUnavailable, "link-local address 169.254.169.254"},
		"link-local v6": {"http://[fe80::1]/?sig=S3CR3T", ErrUnavailable, "link-local address fe80::1"},
		"mapped":        {"http://[::ffff:169.254.169.254]/?sig=S3CR3T", ErrUnavailable, "link-local address 169.254.169.254"},
		"file":          {"file:///etc/passwd?sig=S3CR3T", ErrUnavailable, "refused a redirect to file"},
		"nobody":        {"http://127.0.0.1:1/?sig=S3CR3T", ErrUnavailable, "connection refused"},
		"credentials":   {strings.Replace(storage.URL, "http://", "http://me:S3CR3T@", 1), ErrUnavailable, "refused a redirect with credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "" {
					w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				w.Header().Set("Location", test.to)
				w.WriteHeader(http.StatusTemporaryRedirect)
			}))
			t.Cleanup(s.Close)
			c := impatient(newClient(t, s.Listener.Addr().String(), as(testUser, testPassword)))
			body, err := c.Range(testContext(t), "app", blobDigest, blobSize, 10, 20)
			if test.want != nil {
				if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "S3CR3T") {
					t.Errorf("got %v, want %v with %q and no secret", err, test.want, test.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := readBody(t, body)
			if err != nil || got != blobText[10:30] || seen.Load() != "" {
				t.Errorf("got %q, %v, and the storage saw %q, want nothing of the credentials", got, err, seen.Load())
			}
		})
	}
}

func TestRedirectFromTLSToPlainIsRefused(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the plain server was asked") }))
	t.Cleanup(plain.Close)
	s := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	t.Cleanup(s.Close)
	c := newClient(t, s.URL, WithTransport(s.Client().Transport))
	_, err := c.Tags(testContext(t), "app")
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func TestTemporaryFailuresAreRetried(t *testing.T) {
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   int32 // requests
	}{
		"503":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, tries},
		"429":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, tries},
		"reset": {reset, tries},
		"404":   {http.NotFound, 1},
		"501":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotImplemented) }, 1},
	} {
		var asked atomic.Int32
		c := lie(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			test.answer(w, r)
		})
		if _, err := c.Tags(testContext(t), "app"); err == nil || asked.Load() != test.want {
			t.Errorf("%s: got %v after %d requests, want an error after %d", name, err, asked.Load(), test.want)
		}
	}
}

// reset closes the connection with a RST instead of an answer.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// In a bubble of synctest the clock is ours, and nothing is sent: the failure
// comes from a function.
func TestRetryAfterIsObeyedWhereThereIsTime(t *testing.T) {
	for name, test := range map[string]struct {
		asked    string
		deadline time.Duration // 0 is none
		want     int           // tries
		wait     time.Duration
	}{
		"in time":     {"2", 10 * time.Second, tries, 4 * time.Second},
		"too late":    {"20", 10 * time.Second, 1, 0},
		"no deadline": {"5", 0, tries, 10 * time.Second},
		"an hour":     {"3600", 0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &Client{limits: defaultLimits, now: time.Now}
				ctx := context.Background()
				if test.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.deadline)
					defer cancel()
				}
				began, got := time.Now(), 0
				c.retry(ctx, func() error {
					got++
					return &failure{temporary: true, retryAfter: parseRetryAfter(test.asked, c.now()), kind: ErrUnavailable}
				})
				if waited := time.Since(began); got != test.want || waited != test.wait {
					t.Errorf("got %d tries in %v, want %d in %v", got, waited, test.want, test.wait)
				}
			})
		})
	}
}

func TestRetryAfterCanBeADate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "soon": 0, "99999999999999": 0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := parseRetryAfter(in, now); got != want {
			t.Errorf("%q: got %v, want %v", in, got, want)
		}
	}
}

func TestSilenceEnds(t *testing.T) {
	hang := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	trickle := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(blobText)))
		for i := 0; r.Context().Err() == nil; i++ {
			io.WriteString(w, blobText[i:i+1])
			w.(http.Flusher).Flush()
			select {
			case <-time.After(10 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
	}
	for name, answer := range map[string]http.HandlerFunc{"no header": hang, "one byte at a time": trickle} {
		c := lie(t, answer)
		c.limits.answer = 300 * time.Millisecond
		body, err := c.Blob(testContext(t), "app", blobDigest, blobSize)
		if err == nil {
			_, err = readBody(t, body)
		}
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want ErrUnavailable alone", name, err)
		}
	}
}

func TestHeaderTimeoutIsUnavailable(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(s.Close)
	short := func(s *settings) { s.limits.header = 100 * time.Millisecond }
	_, err := newClient(t, s.Listener.Addr().String(), short).Tags(testContext(t), "app")
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrUnavailable alone", err)
	}
}

// A reader that takes its time is not a registry that stalls.
func TestSlowReadersAreServed(t *testing.T) {
	c := lie(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, blobText) })
	c.limits.stall = 300 * time.Millisecond
	body, err := c.Blob(testContext(t), "app", blobDigest, blobSize)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var got strings.Builder
	for range 5 {
		io.CopyN(&got, body, 100)
		<-time.After(100 * time.Millisecond) // in all longer than the limit
	}
	if _, err := io.Copy(&got, body); err != nil || got.String() != blobText {
		t.Errorf("got %d bytes, %v, want all", got.Len(), err)
	}
}

func TestTheCallersContextStaysWhatItIs(t *testing.T) {
	c := lie(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	canceled, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	late, cancelLate := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancelLate()
	for want, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: late} {
		_, err := c.Tags(ctx, "app")
		if !errors.Is(err, want) || errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want %v alone", err, want)
		}
	}
}

// A cause's errno must not be taken for ours.
func TestCausesAreText(t *testing.T) {
	_, err := newClient(t, freeAddr(t)).Tags(testContext(t), "app")
	var errno syscall.Errno
	if !errors.Is(err, ErrUnavailable) || errors.As(err, &errno) || !strings.Contains(err.Error(), "is a registry running at") {
		t.Errorf("got %v, want ErrUnavailable with advice and no errno", err)
	}
}

func TestUploadsThatNobodyTakesEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // the kernel takes connections and a little data, and nobody reads it
	c := impatient(newClient(t, l.Addr().String()))
	r := &request{method: http.MethodPut, path: "app/blobs/uploads/1", what: "a blob", size: 64 << 20, body: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(zeros{}, 64<<20)), nil
	}}
	if _, err := c.send(testContext(t), r); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), errNotSent.Error()) {
		t.Errorf("got %v, want ErrUnavailable with %q", err, errNotSent)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A crowd that waits for the same dead registry waits once.
func TestFailedLoginAnswersForTheCrowd(t *testing.T) {
	var pings atomic.Int32
	c := lie(t, func(w http.ResponseWriter, _ *http.Request) {
		pings.Add(1)
		w.WriteHeader(http.StatusNotImplemented)
	})
	c.keychain = keychain{func(string) (string, string, error) { return testUser, testPassword, nil }}
	now := time.Now()
	c.now = func() time.Time { return now }
	errs := make(chan error)
	for range 10 {
		go func() {
			_, err := c.Tags(testContext(t), "app")
			errs <- err
		}()
	}
	for range 10 {
		if err := <-errs; !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
	}
	if pings.Load() != 1 {
		t.Errorf("got %d pings, want 1", pings.Load())
	}
	now = now.Add(c.limits.failure)
	c.Tags(testContext(t), "app")
	if pings.Load() != 2 {
		t.Errorf("a second later: got %d pings, want 2", pings.Load())
	}
}

// The program that keeps passwords waits for somebody to unlock it.
func TestKeychainThatHangsIsUnavailable(t *testing.T) {
	unlocked := make(chan struct{})
	defer close(unlocked)
	c := impatient(newClient(t, freeAddr(t), WithKeychain(func(string) (string, string, error) {
		<-unlocked
		return "", "", nil
	})))
	c.limits.answer = 100 * time.Millisecond
	if _, err := c.Tags(testContext(t), "app"); !errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want ErrUnavailable alone", err)
	}
}

func TestWhatIsNoRegistryIsUnavailable(t *testing.T) {
	c := lie(t, http.NotFound)
	c.keychain = keychain{func(string) (string, string, error) { return testUser, testPassword, nil }}
	_, err := c.Tags(testContext(t), "app")
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "404 Not Found") || strings.Contains(err.Error(), "scheme") {
		t.Errorf("got %v, want ErrUnavailable with the answer to the ping", err)
	}
}
