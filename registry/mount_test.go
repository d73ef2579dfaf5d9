package registry

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPushMountsFromAnotherRepository: nothing is sent of what another repository of
// the registry has, and all of what it has not.
func TestPushMountsFromAnotherRepository(t *testing.T) {
	proxy := countRequests(t, startRegistry(t, ""))
	c := newClient(t, proxy.addr())
	dir := filepath.Join(t.TempDir(), "v1")
	want := writeLayout(t, dir)
	if _, err := c.Push(testContext(t), dir, "team/staging", "v1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	proxy.take()

	got, err := c.Push(testContext(t), dir, "live", "v1", PushOptions{From: "team/staging"})
	if err != nil || got.Digest != want {
		t.Fatalf("got %s, %v, want %s", got.Digest, err, want)
	}
	if got.Mounted != got.Blobs || got.MountedBytes != got.Bytes || got.Sent != 0 || got.SentBytes != 0 || got.There != 0 {
		t.Errorf("got %+v, want all mounted", got.Progress)
	}
	if puts := proxy.take("PUT", "PATCH"); slices.ContainsFunc(puts, func(r string) bool { return strings.Contains(r, "/blobs/") }) {
		t.Errorf("got %q, want no blob sent", puts)
	}
	if got, err = c.Push(testContext(t), dir, "live", "v1", PushOptions{}); err != nil || got.There != got.Blobs || got.SentManifests != 0 {
		t.Errorf("again: got %+v, %v, want all there", got.Progress, err)
	}

	got, err = c.Push(testContext(t), dir, "other", "v1", PushOptions{From: "team/nothing"})
	if err != nil || got.Sent != got.Blobs || got.Mounted != 0 {
		t.Errorf("from a repository without them: got %+v, %v, want all sent", got.Progress, err)
	}
	if posts := proxy.take("POST"); len(posts) != got.Blobs {
		t.Errorf("got %q, want one for each of %d blobs: what does not mount says where to put it", posts, got.Blobs)
	}
	if got, err = c.Push(testContext(t), dir, "live", "v2", PushOptions{From: "no such name"}); err == nil {
		t.Errorf("from what is no name of a repository: got %+v, want an error", got)
	}
}

// TestWhatCannotBeMountedIsSent: mounting is only a shorter way.
func TestWhatCannotBeMountedIsSent(t *testing.T) {
	proxy := countRequests(t, startRegistry(t, ""))
	c := quick(newClient(t, proxy.addr()))
	dir := filepath.Join(t.TempDir(), "v1")
	want := writeLayout(t, dir)
	if _, err := c.Push(testContext(t), dir, "staging", "v1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{
		http.StatusAccepted, // and does not say where to
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusTooManyRequests, http.StatusInternalServerError,
	} {
		asked := 0
		proxy.mu.Lock()
		proxy.refuse = func(w http.ResponseWriter, r *http.Request) bool {
			if !r.URL.Query().Has("mount") {
				return false
			}
			proxy.mu.Lock()
			asked++
			proxy.mu.Unlock()
			w.WriteHeader(status)
			return true
		}
		proxy.mu.Unlock()
		got, err := c.Push(testContext(t), dir, fmt.Sprint("live-", status), "v1", PushOptions{From: "staging"})
		if err != nil || got.Digest != want || got.Sent != got.Blobs || got.Mounted != 0 || asked < got.Blobs {
			t.Errorf("%d: got %+v, %v after %d questions, want all sent", status, got, err, asked)
		}
	}
}

// TestMountingTakesATokenForBoth, and none where a token for the other repository
// is not to be had.
func TestMountingTakesATokenForBoth(t *testing.T) {
	proxy := countRequests(t, startRegistry(t, ""))
	secret := false // that nobody may read staging
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if secret && slices.Contains(r.Form["scope"], "repository:staging:pull") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"token": "%x"}`, strings.Join(r.Form["scope"], " "))
	}))
	defer service.Close()
	proxy.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		token, _ := hex.DecodeString(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		repo, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
		need := []string{"repository:" + repo + ":push,pull"}
		if r.URL.Query().Has("mount") {
			need = append(need, "repository:"+r.URL.Query().Get("from")+":pull")
		}
		if strings.Join(need, " ") == string(token) {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test"`, service.URL))
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "another token is needed")
		return true
	}
	c := quick(newClient(t, proxy.addr(), as(testUser, testPassword)))
	dir := filepath.Join(t.TempDir(), "v1")
	writeLayout(t, dir)
	if _, err := c.Push(testContext(t), dir, "staging", "v1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Push(testContext(t), dir, "live", "v1", PushOptions{From: "staging"}); err != nil || got.Mounted != got.Blobs {
		t.Errorf("got %+v, %v, want all mounted", got.Progress, err)
	}
	secret = true
	c = quick(newClient(t, proxy.addr(), as(testUser, testPassword))) // without the tokens of before
	if got, err := c.Push(testContext(t), dir, "public", "v1", PushOptions{From: "staging"}); err != nil || got.Sent != got.Blobs {
		t.Errorf("without the right to read: got %+v, %v, want all sent", got.Progress, err)
	}
}
