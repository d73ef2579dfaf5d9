package web

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a server on a free port; it is closed, with the client's
// connections, at the end of the test.
func start(t *testing.T, s *Server) string {
	t.Helper()
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		s.Close()
	})
	return "http://" + s.Address()
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestReadySaysWhatIsMissing(t *testing.T) {
	var missing atomic.Pointer[string]
	url := start(t, New(func() error {
		if m := missing.Load(); m != nil {
			return errors.New(*m)
		}
		return nil
	}))
	if status, body := get(t, url+"/readyz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("got %d %q, want 200 and ok", status, body)
	}
	why := "not mounted yet"
	missing.Store(&why)
	if status, body := get(t, url+"/readyz"); status != http.StatusServiceUnavailable || body != why+"\n" {
		t.Errorf("got %d %q, want 503 and %q", status, body, why)
	}
	if status, _ := get(t, url+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz while it is not ready: got %d, want 200", status)
	}
}

func TestWhatIsHungInAnswers(t *testing.T) {
	s := New(func() error { return nil })
	s.Handle("GET /more", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "more") }))
	url := start(t, s)
	if status, body := get(t, url+"/more"); status != http.StatusOK || body != "more" {
		t.Errorf("got %d %q, want 200 and more", status, body)
	}
	if status, _ := get(t, url+"/else"); status != http.StatusNotFound {
		t.Errorf("got %d, want 404", status)
	}
}

func TestTwoCannotHaveOneAddress(t *testing.T) {
	first := New(func() error { return nil })
	start(t, first)
	second := New(func() error { return nil })
	if err := second.Start(t.Context(), first.Address()); err == nil {
		t.Errorf("a second server at %s started", first.Address())
	}
	second.Close() // of one that never started
}
