package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// gate wants tokens before requests go on to a registry, as the large
// registries do, and sells them on another port.
type gate struct {
	*faultProxy
	service *httptest.Server

	mu       sync.Mutex // guards what follows
	password string
	uses     int           // how often a token is good
	lives    time.Duration // how long it is good; 0 for ever
	says     string        // of a token, in JSON: for how long it is good
	left     map[string]int
	ends     map[string]time.Time
	sold     int
	soldFor  map[string]int // by scope
	admitted int            // requests, and those that brought no good token
	refused  int
}

func startGate(t testing.TB, host string, uses int) *gate {
	t.Helper()
	g := &gate{faultProxy: startFaultProxy(t, host), password: canaryPassword, uses: uses, says: `"expires_in": 0`, left: map[string]int{}, ends: map[string]time.Time{}, soldFor: map[string]int{}}
	g.service = httptest.NewServer(http.HandlerFunc(g.sell))
	t.Cleanup(g.service.Close)
	g.spoil(func(*http.Request) bool { return true }, 0, g.admit)
	return g
}

// sell gives a token for the password, and quotes all it got for another.
func (g *gate) sell(w http.ResponseWriter, req *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, password, _ := req.BasicAuth(); password != g.password {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"details": "%s: %s is not good"}`, req.Header.Get("Authorization"), password)
		return
	}
	g.sold++
	g.soldFor[req.FormValue("scope")]++
	token := fmt.Sprintf("%s-%d", canaryToken, g.sold)
	g.left[token], g.ends[token] = g.uses, time.Now().Add(g.lives)
	fmt.Fprintf(w, `{"token": %q, %s}`, token, g.says)
}

// admit passes on what brings a token that is good, and quotes others.
func (g *gate) admit(w http.ResponseWriter, req *http.Request, p *faultProxy) {
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	g.mu.Lock()
	good := g.left[token] > 0 && (g.lives == 0 || time.Now().Before(g.ends[token]))
	g.left[token]--
	if good {
		g.admitted++
	} else {
		g.refused++
	}
	g.mu.Unlock()
	if !good {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token?account=%s",service="test",error="invalid_token"`, g.service.URL, canaryPassword))
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"errors": [{"message": "%s is not good"}]}`, token)
		return
	}
	req.Header.Del("Authorization")
	honest(w, req, p)
}

// rotate changes the password and lets all tokens expire.
func (g *gate) rotate(password string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.password = password
	clear(g.left)
}

// expire lets all tokens expire, whatever was said of them.
func (g *gate) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.left)
}

// logIn writes what docker login writes.
func logIn(t testing.TB, config, host, password string) {
	t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte("reader:" + password))
	text := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, auth)
	must(t, os.WriteFile(filepath.Join(config, "config.json"), []byte(text), 0o600))
}

// TestTokensThatExpireCostNoReader reads a site through a registry whose tokens
// are good for three requests.
func TestTokensThatExpireCostNoReader(t *testing.T) {
	reg := startRegistry(t)
	s := manyFiles(40, 600<<10) // above what is read whole
	s.publish(t, reg.host, "my-app", "v1")
	g := startGate(t, reg.host, 3)
	config := newDir(t)
	t.Setenv("DOCKER_CONFIG", config)
	logIn(t, config, g.host(), canaryPassword)
	d := mount(t, g.host(), quick)
	wantSite(t, d.path("my-app/v1"), s)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sold < 3 {
		t.Errorf("got %d tokens, want several", g.sold)
	}
}

// TestARotatedPasswordNeedsNoRestart: with the old password known sites are
// served and others are EACCES; somebody logs in anew; then all is there.
func TestARotatedPasswordNeedsNoRestart(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	s.publish(t, reg.host, "other", "v1")
	g := startGate(t, reg.host, 1<<30)
	config := newDir(t)
	t.Setenv("DOCKER_CONFIG", config)
	logIn(t, config, g.host(), canaryPassword)
	own := freeAddress(t)
	d := mount(t, g.host(), quick, "--listen="+own)
	wantSite(t, d.path("my-app/v1"), s)

	next := canaryPassword + "-the-next"
	g.rotate(next)
	wantErrno(t, d.path("other/v1"), syscall.EACCES)
	wantSite(t, d.path("my-app/v1"), s)
	if !eventually(startLimit, func() bool { return run(t, "", command(t, "regfs"), "status", d.dir).code == exitPartial }) {
		t.Errorf("status with the old password never ends with %d", exitPartial)
	}
	run(t, "", command(t, "regfs"), "explain", d.path("other/v1")) // what it writes is looked at
	status, err := os.ReadFile(d.path(".regfs/status.json"))
	must(t, err)
	for name, text := range map[string][]byte{"status": status, "metrics": fetchOK(t, "http://"+own+"/metrics")} {
		if bytes.Contains(text, []byte(canary)) {
			t.Errorf("the %s hold a secret: %s", name, text)
		}
	}

	logIn(t, config, g.host(), next)
	waitForStat(t, d.path("other/v1"))
	wantSite(t, d.path("other/v1"), s)
}

// exitPartial is how status says that a mount is degraded.
const exitPartial = 3

// wantErrno asks for a path that has to fail.
func wantErrno(t testing.TB, path string, want syscall.Errno) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", path, err, want)
	}
}

// TestWhatARegistryRefusesStaysClosed: the content of a repository that may not
// be read is in the cache, by way of one that may; it is not served, by tag or
// by digest, and nothing of the other repository is refused.
func TestWhatARegistryRefusesStaysClosed(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "open", "v1")
	digest := s.publish(t, reg.host, "secret", "v1")
	for name, code := range map[string]int{"401": http.StatusUnauthorized, "403": http.StatusForbidden} {
		t.Run(name, func(t *testing.T) {
			proxy := startFaultProxy(t, reg.host)
			refused := proxy.spoil(func(req *http.Request) bool { return strings.HasPrefix(req.URL.Path, "/v2/secret/") }, 0, status(code))
			d := mount(t, proxy.host(), quick)
			wantSite(t, d.path("open/v1"), s)
			for range 3 {
				wantErrno(t, d.path("secret/v1"), syscall.EACCES)
				wantErrno(t, d.path("secret/v1/index.html"), syscall.EACCES)
				wantErrno(t, d.path("secret:v1"), syscall.EACCES)
				wantErrno(t, d.path("secret@"+digest), syscall.EACCES)
				wantErrno(t, d.path("secret@"+digest+"/index.html"), syscall.EACCES)
			}
			wantSite(t, d.path("open@"+digest), s)
			wantSite(t, d.path("open/v1"), s)
			if len(proxy.seen(refused)) == 0 {
				t.Error("the registry was not asked for the secret repository")
			}
		})
	}
}

// TestSignedAddressesAreFollowed: blobs are in a storage of another host, which
// sees no credentials; a signature that is too old is asked for again.
func TestSignedAddressesAreFollowed(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	layer := reg.layer(t, "my-app", "v1").Digest
	proxy := startFaultProxy(t, reg.host)
	var mu sync.Mutex
	var signed, expired int
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if got := req.Header.Get("Authorization") + req.Header.Get("Referer"); got != "" {
			t.Errorf("the storage saw %q", got)
		}
		if strings.HasSuffix(req.URL.RawQuery, "-old") {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, "<Error><Code>AccessDenied</Code><SignatureProvided>%s</SignatureProvided></Error>", req.URL.RawQuery)
			return
		}
		honest(w, req, proxy)
	}))
	t.Cleanup(storage.Close)
	sign := func(old func(n int) bool) fault {
		return func(w http.ResponseWriter, req *http.Request, p *faultProxy) {
			mu.Lock()
			defer mu.Unlock()
			signed++
			to := storage.URL + req.URL.Path + "?X-Signature=" + canarySignature
			if old(signed) {
				expired++
				to += "-old"
			}
			redirect(to)(w, req, p)
		}
	}
	proxy.spoil(blobOf(layer), 0, sign(func(n int) bool { return n%2 == 1 })) // every other one
	d := mount(t, proxy.host(), never)
	wantSite(t, d.path("my-app/v1"), s)
	mu.Lock()
	if expired == 0 || signed < 2*expired {
		t.Errorf("got %d signed addresses, %d of them too old", signed, expired)
	}
	mu.Unlock()

	other := mount(t, proxy.host(), never)
	proxy.spoil(blobOf(layer), 0, sign(func(int) bool { return true }))
	if _, err := os.ReadFile(other.path("my-app/v1/index.html")); !errors.Is(err, syscall.EIO) {
		t.Errorf("all are too old: got %v, want %v", err, syscall.EIO)
	}
	proxy.heal()
	waitFor(t, other.path("my-app/v1/index.html"), s["index.html"])
}

// TestATLSRegistryWithItsOwnAuthority: neither command trusts it by itself.
func TestATLSRegistryWithItsOwnAuthority(t *testing.T) {
	reg := startRegistry(t)
	proxy := &faultProxy{upstream: reg.host}
	proxy.Server = httptest.NewUnstartedServer(http.HandlerFunc(proxy.serve))
	proxy.Config.ErrorLog = discard
	proxy.StartTLS()
	t.Cleanup(proxy.close)
	host := "https://" + proxy.host()
	s := smallSite()
	images := bundle(t, s.write(t), "v1")
	ca := filepath.Join(newDir(t), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}), 0o644))

	args := []string{"v1", host + "/my-app", "--images", images}
	refusal{exitUnavailable, []string{"certificate", "--ca-file"}}.want(t, run(t, "", command(t, "upload"), args...))
	refusal{exitUsage, []string{"--ca-file", images}}.want(t, run(t, "", command(t, "upload"), append(args, "--ca-file", images)...))
	succeed(t, "", command(t, "upload"), append(args, "--ca-file", ca)...)
	warned := run(t, "", command(t, "upload"), append(args, "--insecure")...)
	if warned.code != 0 || strings.Count(warned.stderr, "NOT VERIFIED") != 1 {
		t.Errorf("--insecure: got exit code %d, %q, want success and one warning", warned.code, warned.stderr)
	}

	strict := mount(t, host)
	wantErrno(t, strict.path("my-app/v1"), syscall.EIO)
	for _, flag := range []string{"--ca-file=" + ca, "--insecure"} {
		d := mount(t, host, flag)
		wantSite(t, d.path("my-app/v1"), s)
		text, err := os.ReadFile(d.log)
		must(t, err)
		if got := bytes.Count(text, []byte("NOT VERIFIED")); got != strings.Count(flag, "insecure") {
			t.Errorf("%s: got %d warnings:\n%s", flag, got, text)
		}
	}
}

// TestTheEnvironmentsProxyIsUsed reaches a registry whose name only the proxy
// can resolve.
func TestTheEnvironmentsProxyIsUsed(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	images := bundle(t, s.write(t), "v1")
	var seen sync.Map
	onward := &faultProxy{upstream: reg.host}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen.Store(req.URL.Host+" "+req.Header.Get("Proxy-Authorization"), true)
		req.Header.Del("Proxy-Authorization")
		honest(w, req, onward)
	}))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", "http://me:"+canaryPassword+"@"+proxy.Listener.Addr().String())
	succeed(t, "", command(t, "upload"), "v1", "http://registry.invalid:5000/my-app", "--images", images)
	d := mount(t, "http://registry.invalid:5000", quick)
	wantSite(t, d.path("my-app/v1"), s)
	auth := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+canaryPassword))
	if _, ok := seen.Load("registry.invalid:5000 " + auth); !ok {
		t.Error("the proxy was not asked for the registry with its password")
	}
	proxy.Close()
	wantErrno(t, d.path("other/v1"), syscall.EIO)
}

// TestNamesThatCannotExistCostNoRequest: a path chooses neither a host nor
// anything else that the grammar of the specification does not know.
func TestNamesThatCannotExistCostNoRequest(t *testing.T) {
	reg := startRegistry(t)
	smallSite().publish(t, reg.host, "my-app", "v1")
	proxy := startFaultProxy(t, reg.host)
	strangers := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a path chose a host") }))
	t.Cleanup(strangers.Close)
	d := mount(t, proxy.host(), never)
	web := startNginx(t, d.dir)
	waitForStat(t, d.path("my-app/v1"))
	// A repository may be called like a host: the registry is asked for it.
	wantErrno(t, d.path(strangers.Listener.Addr().String(), "my-app/v1"), syscall.ENOENT)
	all := proxy.spoil(func(*http.Request) bool { return true }, 0, honest)
	bad := []string{
		"Evil.example/x/v1", "UPPER/v1", "-dash/v1", ".hidden/v1", "a..b/v1", "_x/v1",
		strings.Repeat("a", 256) + "/v1", "my-app:" + strings.Repeat("v", 129), "my-app@sha256:12", "my-app@md5:" + strings.Repeat("0", 32),
		"my-app:-v1", "my-app:.v1", "ü/v1", "a b/v1", "my-app:v1:v2", "my-app@v1@v2", "http:", "%2e%2e",
	}
	for _, name := range bad {
		if _, err := os.Stat(d.path(name)); !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ENAMETOOLONG) {
			t.Errorf("%q: got %v, want %v", name, err, syscall.ENOENT)
		}
		if got := fetch(t, web.url+"/"+strings.ReplaceAll(strings.ReplaceAll(name, "%", "%25"), " ", "%20")).status; got != http.StatusNotFound {
			t.Errorf("%q through nginx: got %d, want 404", name, got)
		}
	}
	for i := range 2000 {
		wantErrno(t, d.path(fmt.Sprintf("Bad-%d", i), "v1"), syscall.ENOENT)
	}
	if got := proxy.seen(all); len(got) != 0 {
		t.Errorf("got requests %v, want none", got)
	}
}
