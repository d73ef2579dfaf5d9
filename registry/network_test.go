package registry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

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
		deadline time.Duration // 0 is a write's patience
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
				h := &host{wire: &wire{limits: defaultLimits, now: time.Now}}
				var end time.Time
				if test.deadline > 0 {
					end = time.Now().Add(test.deadline)
				}
				began, got := time.Now(), 0
				h.retry(context.Background(), end, func() error {
					got++
					return &failure{temporary: true, retryAfter: parseRetryAfter(test.asked, h.now()), kind: ErrUnavailable}
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
	if _, err := c.send(testContext(t), r, time.Time{}); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), errNotSent.Error()) {
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
	c.keychain = func(string) (credentials, error) { return credentials{username: testUser, password: testPassword}, nil }
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
	c.keychain = func(string) (credentials, error) { return credentials{username: testUser, password: testPassword}, nil }
	_, err := c.Tags(testContext(t), "app")
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "404 Not Found") || strings.Contains(err.Error(), "scheme") {
		t.Errorf("got %v, want ErrUnavailable with the answer to the ping", err)
	}
}
