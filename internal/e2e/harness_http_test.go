package e2e

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// client opens a connection per request, so that none outlives its test, and
// shows redirects instead of following them.
var client = &http.Client{
	Timeout:       time.Minute,
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// fetch gets url; header is pairs of names and values.
func fetch(t testing.TB, url string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: after %d bytes: %v", url, len(body), err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

// fetchOK gets url, which has to answer 200.
func fetchOK(t testing.TB, url string, header ...string) []byte {
	t.Helper()
	a := fetch(t, url, header...)
	if a.status != http.StatusOK {
		t.Fatalf("%s: got %d, want 200: %.300s", url, a.status, a.body)
	}
	return a.body
}
