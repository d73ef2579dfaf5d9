package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// cutting serves the blob, whole and by ranges, and cuts every answer after at
// most n bytes, for as many answers as cuts says. clean ends it as if that were
// all.
func cutting(cuts *atomic.Int32, n int64, clean bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, to := int64(0), blobSize-1
		ranged := false
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err == nil {
			ranged = true
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, blobSize))
		}
		body := blobText[from : to+1]
		if !clean {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		if ranged {
			w.WriteHeader(http.StatusPartialContent)
		}
		if cuts.Add(-1) < 0 {
			io.WriteString(w, body)
			return
		}
		io.WriteString(w, body[:min(n, int64(len(body)))])
		w.(http.Flusher).Flush()
		if !clean {
			panic(http.ErrAbortHandler)
		}
	}
}

func TestWhatIsCutIsContinued(t *testing.T) {
	for n := int64(0); n < blobSize; n = n*2 + 1 {
		for _, clean := range []bool{false, true} {
			for _, whole := range []bool{false, true} {
				t.Run(fmt.Sprintf("after %d, clean %v, whole %v", n, clean, whole), func(t *testing.T) {
					var cuts atomic.Int32
					cuts.Store(2)
					c := lie(t, cutting(&cuts, n, clean))
					off, length := int64(10), blobSize-20
					if whole {
						off, length = 0, blobSize
					}
					body, err := c.Range(testContext(t), "app", blobDigest, blobSize, off, length)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := readBody(t, body); err != nil || got != blobText[off:off+length] {
						t.Errorf("got %d bytes, %v, want %d", len(got), err, length)
					}
				})
			}
		}
	}
}

func TestWhatIsCutForEverEnds(t *testing.T) {
	var cuts atomic.Int32
	cuts.Store(1000)
	c := lie(t, cutting(&cuts, 100, false))
	body, err := c.Range(testContext(t), "app", blobDigest, blobSize, 0, blobSize)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readBody(t, body)
	if asked := 1000 - cuts.Load(); !errors.Is(err, ErrUnavailable) || got != blobText[:len(got)] || asked != tries {
		t.Errorf("got %d bytes, %v after %d requests, want ErrUnavailable after %d", len(got), err, asked, tries)
	}
}

// What was read before a cut is part of what is verified.
func TestABlobThatIsCutAndDamagedIsAMismatch(t *testing.T) {
	var cuts atomic.Int32
	cuts.Store(1)
	honest := cutting(&cuts, 50_000, false)
	var damaged atomic.Bool
	c := lie(t, func(w http.ResponseWriter, r *http.Request) {
		if damaged.CompareAndSwap(false, true) {
			w = &flipping{ResponseWriter: w}
		}
		honest(w, r)
	})
	body, err := c.Blob(testContext(t), "app", blobDigest, blobSize)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readBody(t, body); !errors.Is(err, ErrMismatch) {
		t.Errorf("got %d bytes, %v, want ErrMismatch", len(got), err)
	}
}

type flipping struct{ http.ResponseWriter }

func (f *flipping) Write(p []byte) (int, error) {
	return f.ResponseWriter.Write(append([]byte{'x'}, p[1:]...))
}
func (f *flipping) Flush() { f.ResponseWriter.(http.Flusher).Flush() }

// A host that began to ignore ranges sends what is known already once more.
func TestWhatIsCutIsContinuedByAWholeBlob(t *testing.T) {
	var asked atomic.Int32
	c := lie(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			cutOff("bytes 0-99998/100000", blobText[:99_999])(w, r)
			return
		}
		io.WriteString(w, blobText)
	})
	body, err := c.Range(testContext(t), "app", blobDigest, blobSize, 0, 99_999)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readBody(t, body); err != nil || got != blobText[:99_999] || asked.Load() != 2 {
		t.Errorf("got %d bytes, %v after %d requests", len(got), err, asked.Load())
	}
}

// Some proxies answer a range with another one, and know how to send all.
func TestAHostThatMisreadsRangesIsAskedForAll(t *testing.T) {
	for name, wrong := range map[string]http.HandlerFunc{
		"other range":     partial("bytes 0-19/100000", blobText[:20]),
		"other total":     partial("bytes 10-29/7", blobText[10:30]),
		"multipart":       multipart(blobText[10:30]),
		"announced short": partial("bytes 10-29/100000", blobText[10:29]),
		"a 416":           func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
	} {
		var wholes atomic.Int32
		c := lie(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				wrong(w, r)
				return
			}
			wholes.Add(1)
			io.WriteString(w, blobText)
		})
		for range 2 {
			body, err := c.Range(testContext(t), "app", blobDigest, blobSize, 10, 20)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, err := readBody(t, body); err != nil || got != blobText || body.Offset != 0 {
				t.Errorf("%s: got %d bytes at %d, %v, want all", name, len(got), body.Offset, err)
			}
		}
		if wholes.Load() != 2 {
			t.Errorf("%s: got %d requests for all, want 2", name, wholes.Load())
		}
	}
}

// While a host wants to be left alone it is not asked, by nobody.
func TestRetryAfterIsForTheWholeHost(t *testing.T) {
	for name, header := range map[string]string{"seconds": "30", "a date": time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat), "huge": "999999"} {
		var asked atomic.Int32
		var well atomic.Bool
		c := lie(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			if !well.Load() {
				w.Header().Set("Retry-After", header)
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			io.WriteString(w, `{"tags": ["v1"]}`)
		})
		now := time.Now()
		c.now = func() time.Time { return now }
		began := time.Now()
		for range 5 {
			_, err := c.Tags(testContext(t), "app")
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: got %v, want ErrUnavailable", name, err)
			}
			_, err = c.Blob(testContext(t), "other", blobDigest, blobSize)
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "left alone") {
				t.Errorf("%s: got %v, want ErrUnavailable", name, err)
			}
		}
		if asked.Load() != 1 || time.Since(began) > 20*time.Second {
			t.Errorf("%s: got %d requests in %v, want one", name, asked.Load(), time.Since(began))
		}
		well.Store(true)
		now = now.Add(c.limits.restMost)
		if _, err := c.Tags(testContext(t), "app"); err != nil {
			t.Errorf("%s: after the pause: %v", name, err)
		}
	}
}

// A pause that leaves time for the answer is waited for.
func TestAShortPauseIsWaitedFor(t *testing.T) {
	var asked atomic.Int32
	c := lie(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, `{"tags": ["v1"]}`)
	})
	c.limits.answer = 20 * time.Second
	began := time.Now()
	if _, err := c.Tags(testContext(t), "app"); err != nil || asked.Load() != 2 || time.Since(began) < time.Second {
		t.Errorf("got %v after %d requests in %v, want an answer after a second", err, asked.Load(), time.Since(began))
	}
}
