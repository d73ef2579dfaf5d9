package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const notifySecret = "0123456789abcdef0123456789abcdef"

// startNotifying starts a registry that sends word of what happens to address.
func startNotifying(t testing.TB, address, secret string) *registry {
	t.Helper()
	return runRegistry(t, filepath.Join(newDir(t), "data"), freeAddress(t), fmt.Sprintf(
		"notifications:\n  endpoints:\n  - {name: regfs, url: \"http://%s/notify\", headers: {Authorization: [\"Bearer %s\"]}, timeout: 2s, threshold: 3, backoff: 1s, ignore: {actions: [pull]}}\n",
		address, secret))
}

// mountNotified mounts a registry that is asked for nothing by itself for an
// hour, and takes notifications at address.
func mountNotified(t testing.TB, host, address string) *daemon {
	t.Helper()
	secret := filepath.Join(newDir(t), "secret")
	must(t, os.WriteFile(secret, []byte(notifySecret+"\n"), 0o600))
	return mount(t, host, never, "--listen="+address, "--notify-secret-file="+secret)
}

// seen asks nginx until ok, without a pause: how long that takes is measured. It
// is no longer than the limit, far below the hour until the mount would ask.
func seen(t testing.TB, url string, ok func(answer) bool) time.Duration {
	t.Helper()
	const limit = startLimit
	begin := time.Now()
	for {
		a := fetch(t, url)
		if ok(a) {
			return time.Since(begin)
		}
		if time.Since(begin) > limit {
			t.Fatalf("%s: not within %v: got %d %.100q", url, limit, a.status, a.body)
		}
	}
}

// TestAPushIsSeenAtOnce: a real docker-registry that notifies makes pushes, new
// tags and deletions visible through nginx, though nothing would be asked for an
// hour.
func TestAPushIsSeenAtOnce(t *testing.T) {
	address := freeAddress(t)
	reg := startNotifying(t, address, notifySecret)
	d := mountNotified(t, reg.host, address) // first: a registry that nobody heard rests for a second
	before, after := pair()
	before.publish(t, reg.host, "team/app", "live")
	before.publish(t, reg.host, "team/app", "a")
	after.publish(t, reg.host, "team/app", "b")
	web := startNginx(t, d.dir)
	url := web.url + "/team/app/live/index.html"
	t.Logf("a new repository was seen after %v", seen(t, url, func(a answer) bool { return bytes.Equal(a.body, before["index.html"]) }))
	if got := fetch(t, web.url+"/team/app/next/index.html").status; got != http.StatusNotFound {
		t.Errorf("a tag that is not there yet: got %d, want 404", got)
	}

	var times []time.Duration
	for i := range 10 {
		from, want := "b", after
		if i%2 == 1 {
			from, want = "a", before
		}
		reg.retag(t, "team/app", from, "live")
		took := seen(t, url, func(a answer) bool { return bytes.Equal(a.body, want["index.html"]) })
		times = append(times, took)
	}
	slices.Sort(times)
	t.Logf("a moved tag was seen through nginx after %v (median of %d), at most %v", times[len(times)/2], len(times), times[len(times)-1])

	reg.retag(t, "team/app", "b", "next")
	t.Logf("a new tag was seen after %v", seen(t, web.url+"/team/app/next/index.html", func(a answer) bool { return bytes.Equal(a.body, after["index.html"]) }))
	if got := strings.Join(entries(t, d.path("team/app")), " "); !strings.Contains(got, "next") {
		t.Errorf("the listing: got %s, want next in it", got)
	}

	open, err := os.Open(d.path("team/app/live/media/noise.bin"))
	must(t, err)
	defer open.Close()
	reg.deleteManifest(t, "team/app", "live") // both live and a
	t.Logf("a deletion was seen after %v", seen(t, url, func(a answer) bool { return a.status == http.StatusNotFound }))
	var text bytes.Buffer
	if _, err := text.ReadFrom(open); err != nil || !bytes.Equal(text.Bytes(), before["media/noise.bin"]) {
		t.Errorf("the open file of the deleted tag: got %d bytes, %v; want all of it", text.Len(), err)
	}
}

// TestNotificationsNeedTheSecret: who has it not is refused, moves nothing and
// learns nothing; a registry that has a wrong one is served as without.
func TestNotificationsNeedTheSecret(t *testing.T) {
	address := freeAddress(t)
	reg := startNotifying(t, address, "not the secret at all")
	before, after := pair()
	before.publish(t, reg.host, "my-app", "live")
	d := mountNotified(t, reg.host, address)
	wantFile(t, d.path("my-app/live/index.html"), before["index.html"])
	after.publish(t, reg.host, "my-app", "live")
	const event = `{"events": [{"action": "push", "target": {"repository": "my-app", "tag": "live"}}]}`
	for secret, want := range map[string]int{"": http.StatusUnauthorized, "Bearer wrong": http.StatusUnauthorized} {
		if got := notifyOnce(t, address, secret, event); got != want {
			t.Errorf("secret %q: got %d, want %d", secret, got, want)
		}
	}
	wantFile(t, d.path("my-app/live/index.html"), before["index.html"])
	if got := notifyOnce(t, address, "Bearer "+notifySecret, event); got != http.StatusNoContent {
		t.Errorf("with the secret: got %d, want 204", got)
	}
	waitFor(t, d.path("my-app/live/index.html"), after["index.html"])
	if text := d.tail(); bytes.Contains(text, []byte(notifySecret)) {
		t.Errorf("the log has the secret:\n%s", text)
	}
}

// TestANotifySecretHasToBeOne: what would keep notifications from working is
// said at the start.
func TestANotifySecretHasToBeOne(t *testing.T) {
	dir := newDir(t)
	short := filepath.Join(dir, "short")
	must(t, os.WriteFile(short, []byte("x\n"), 0o600))
	for name, test := range map[string]struct {
		flags []string
		want  string
	}{
		"too short":  {[]string{"--notify-secret-file", short}, "openssl rand -hex 16"},
		"missing":    {[]string{"--notify-secret-file", filepath.Join(dir, "none")}, "no such file"},
		"no address": {[]string{"--notify-secret-file", short, "--listen="}, "--listen"},
	} {
		args := append([]string{"mount", filepath.Join(dir, "mnt"), "--registry", freeAddress(t), "--cache", filepath.Join(dir, "cache"), "--listen=127.0.0.1:0"}, test.flags...)
		if r := run(t, "", command(t, "regfs"), args...); r.code != 2 || !contains(r, test.want) {
			t.Errorf("%s: got %d %q, want 2 and %q", name, r.code, r.stderr, test.want)
		}
	}
}

// notifyOnce posts a notification and gives the status.
func notifyOnce(t testing.TB, address, authorization, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/notify", strings.NewReader(body))
	must(t, err)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	return resp.StatusCode
}

// manifestBytes is a manifest or index as the registry has it.
type manifestBytes struct {
	mediaType string
	text      []byte
}

// retag makes a tag mean what another one means.
func (r *registry) retag(t testing.TB, repo, from, to string) {
	t.Helper()
	r.putManifest(t, repo, to, r.fetchManifest(t, repo, from))
}

func (r *registry) fetchManifest(t testing.TB, repo, reference string) manifestBytes {
	t.Helper()
	a := fetch(t, fmt.Sprintf("http://%s/v2/%s/manifests/%s", r.host, repo, reference), "Accept", typeIndex)
	if a.status != http.StatusOK {
		t.Fatalf("manifest %s of %s: got %d", reference, repo, a.status)
	}
	return manifestBytes{a.header.Get("Content-Type"), a.body}
}

func (r *registry) putManifest(t testing.TB, repo, tag string, m manifestBytes) {
	t.Helper()
	url := fmt.Sprintf("http://%s/v2/%s/manifests/%s", r.host, repo, tag)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(m.text))
	must(t, err)
	req.Header.Set("Content-Type", m.mediaType)
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("PUT %s: got %d, want 201", url, resp.StatusCode)
	}
}

func (m manifestBytes) digest() string { return fmt.Sprintf("sha256:%x", sha256.Sum256(m.text)) }

// deleteManifest deletes what a tag names, and with it all tags that name it:
// docker-registry deletes by digest only.
func (r *registry) deleteManifest(t testing.TB, repo, tag string) {
	t.Helper()
	r.deleteDigest(t, repo, r.fetchManifest(t, repo, tag).digest())
}

func (r *registry) deleteDigest(t testing.TB, repo, digest string) {
	t.Helper()
	url := fmt.Sprintf("http://%s/v2/%s/manifests/%s", r.host, repo, digest)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, url, nil)
	must(t, err)
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("DELETE %s: got %d, want 202", url, resp.StatusCode)
	}
}
