package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
	c.limits.retry, c.limits.rest = time.Millisecond, time.Millisecond
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
		"short":           {chunked(partial(good, part[1:])), ErrUnavailable},
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
		"the same, vouched":  {manifestAnswer(ocispec.MediaTypeImageManifest, string(sha256), someManifest), "v1", ErrMismatch, ""},
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

// What the registry says is the tag's is handed on for whoever can say what is wrong.
func TestAManifestThatIsNoneIsTheVersionsFault(t *testing.T) {
	const text = "<html>not a manifest</html>"
	d := digest.FromString(text)
	for _, reference := range []string{"v1", string(d)} {
		m, err := lie(t, manifestAnswer("text/html", string(d), text)).Manifest(testContext(t), "app", reference)
		if err != nil || m.Digest != d || string(m.Bytes) != text || m.MediaType != "text/html" {
			t.Errorf("%s: got %+v, %v, want the bytes", reference, m, err)
		}
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
		link  func(n int32, r *http.Request) string
		want  int32 // requests
		whole bool
	}{
		"no link":         {func(int32, *http.Request) string { return "" }, 1, true},
		"two pages":       {func(n int32, _ *http.Request) string { return map[int32]string{1: "/v2/_catalog?last=b"}[n] }, 2, true},
		"relative":        {func(n int32, _ *http.Request) string { return map[int32]string{1: "?last=b"}[n] }, 2, true},
		"itself":          {func(_ int32, r *http.Request) string { return r.URL.String() }, 1, false},
		"in a circle":     {func(n int32, _ *http.Request) string { return fmt.Sprintf("?last=%d", n%3) }, 4, false},
		"other host":      {func(int32, *http.Request) string { return other.URL + "/v2/_catalog?last=b" }, 1, false},
		"other list":      {func(int32, *http.Request) string { return "/v2/secret/tags/list" }, 1, false},
		"garbage":         {func(int32, *http.Request) string { return "::%zz" }, 1, false},
		"always one more": {func(n int32, _ *http.Request) string { return fmt.Sprintf("?last=%d", n) }, maxPages, false},
	} {
		t.Run(name, func(t *testing.T) {
			asked.Store(0)
			c := lie(t, func(w http.ResponseWriter, r *http.Request) {
				if link := test.link(asked.Add(1), r); link != "" {
					w.Header().Set("Link", "<"+link+`>; rel="next"`)
				}
				io.WriteString(w, `{"repositories": ["b", "../x", "a", "", "A", "b"]}`)
			})
			got, whole, err := c.Repositories(testContext(t))
			if want := []string{"a", "b"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			if asked.Load() != test.want || whole != test.whole {
				t.Errorf("got %d requests, all of it: %v; want %d, %v", asked.Load(), whole, test.want, test.whole)
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
	if got, whole, err := c.FirstTags(testContext(t), "app", 1); err != nil || len(got) != 0 || !whole {
		t.Errorf("got %q, %v, %v, want no tags", got, whole, err)
	}
}

// TestAListSaysOnlyWhatIsOnIt: that it has no more names takes that it was read to its
// end, and that it is one.
func TestAListSaysOnlyWhatIsOnIt(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no list": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"errors": []}`) },
		"the first of two pages": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `<?last=v1>; rel="next"`)
			io.WriteString(w, `{"name": "app", "tags": ["v1"]}`)
		},
		"more than are remembered": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"name": "app", "tags": ["v2"%s]}`, strings.Repeat(`,"v1"`, maxNames))
		},
	} {
		c := lie(t, answer)
		if got, whole, err := c.FirstTags(testContext(t), "app", 1); err != nil || whole {
			t.Errorf("%s: got %d tags, all of them: %v, %v; want that they may not be all", name, len(got), whole, err)
		}
	}
	for text, want := range map[string]bool{`{"repositories": null}`: true, `{"repositories": []}`: true, `{"errors": []}`: false} {
		c := lie(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
		if got, whole, err := c.Repositories(testContext(t)); len(got) > 0 || whole != want || err != nil {
			t.Errorf("%s: got %q, all of them: %v, %v, want %v", text, got, whole, err, want)
		}
	}
}

func TestWhatIsNoListOfTagsIsNoRepository(t *testing.T) {
	for answer, want := range map[string]bool{
		`{"name": "app", "tags": null}`: true, `{"tags": []}`: true, `{"name": "app", "tags": ["v1"], "more": 1}`: true,
		"": false, "<html>please log in</html>": false, "{}": false, "[]": false, `{"tags": "v1"}`: false,
	} {
		c := lie(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
		got, err := c.HasRepository(testContext(t), "app")
		if got != want || !want && !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: got %v, %v, want %v", answer, got, err, want)
		}
	}
}
