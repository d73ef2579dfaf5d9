package registry

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestChallengesAreRead(t *testing.T) {
	for header, want := range map[string][]challenge{
		``:                            nil,
		`Basic`:                       {{"basic", map[string]string{}}},
		`Basic realm="a, \"b\""`:      {{"basic", map[string]string{"realm": `a, "b"`}}},
		`Bearer realm=x, SCOPE = "y"`: {{"bearer", map[string]string{"realm": "x", "scope": "y"}}},
		`Negotiate, Bearer realm="https://a/t?x=1",service="s" , Basic realm=""`: {
			{"negotiate", map[string]string{}},
			{"bearer", map[string]string{"realm": "https://a/t?x=1", "service": "s"}},
			{"basic", map[string]string{"realm": ""}},
		},
		`realm="x"`:      nil,
		`Bearer realm="`: {{"bearer", map[string]string{}}, {"realm", map[string]string{}}},
		`"`:              nil,
	} {
		if got := parseChallenges(header); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
}

func TestTheBestChallengeIsChosen(t *testing.T) {
	for want, headers := range map[string][]string{
		"bearer":    {`Negotiate`, `Basic realm="x"`, `Bearer realm="https://a/t"`},
		"basic":     {`Negotiate, Basic realm="x"`, `Bearer service="no realm"`},
		"negotiate": {`Negotiate`},
		"":          nil,
	} {
		res := &http.Response{Header: http.Header{"Www-Authenticate": headers}}
		if got := challengeOf(res).scheme; got != want {
			t.Errorf("%q: got %q, want %q", headers, got, want)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://auth.example.org/token",service="registry",scope="repository:app:pull"`)
	f.Add(`Negotiate dGVzdA==, Basic realm="a\"b" , Digest x=y`)
	f.Fuzz(func(t *testing.T, header string) {
		for _, c := range parseChallenges(header) {
			if c.scheme == "" || c.scheme != strings.ToLower(c.scheme) || c.params == nil {
				t.Errorf("%q: got %q", header, c)
			}
		}
	})
}

// tokenServer is a registry with a blob and a manifest that wants tokens, and
// the service, on a port of its own, that sells them.
type tokenServer struct {
	*httptest.Server
	service *httptest.Server

	mu       sync.Mutex
	password string
	uses     int // how often a token is good
	left     map[string]int
	sold     int
	soldFor  map[string]int
	closed   string // a repository that no token opens
	refusals int
	refresh  string // what an OAuth2 request has to bring, "" without OAuth2
	answer   func(token string) string
}

func newTokenServer(t *testing.T) *tokenServer {
	s := &tokenServer{password: testPassword, uses: 1 << 30, left: map[string]int{}, soldFor: map[string]int{}}
	s.answer = func(token string) string {
		return fmt.Sprintf(`{"token": %q, "expires_in": 0, "issued_at": "1999-01-01T00:00:00Z"}`, token)
	}
	s.service = httptest.NewServer(http.HandlerFunc(s.sell))
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	t.Cleanup(s.service.Close)
	return s
}

func (s *tokenServer) sell(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, password, _ := r.BasicAuth()
	switch {
	case r.Method == http.MethodPost && s.refresh == "":
		http.NotFound(w, r)
		return
	case r.Method == http.MethodPost && r.PostFormValue("refresh_token") == s.refresh:
	case password != s.password:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, "%s is not the password of %s", password, r.Header.Get("Authorization"))
		return
	}
	s.sold++
	s.soldFor[r.FormValue("scope")]++
	token := fmt.Sprintf("T0K3N-%d-%s", s.sold, r.FormValue("scope"))
	s.left[token] = s.uses
	io.WriteString(w, s.answer(token))
}

func (s *tokenServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	closed := s.closed != "" && strings.HasPrefix(r.URL.Path, "/v2/"+s.closed+"/")
	if s.left[token] == 0 || closed {
		s.refusals++
		why := map[bool]string{true: "insufficient_scope", false: "invalid_token"}[closed]
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test",error=%q`, s.service.URL, why))
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, "%s is not good", r.Header.Get("Authorization"))
		s.mu.Unlock()
		return
	}
	s.left[token]--
	s.mu.Unlock()
	if strings.Contains(r.URL.Path, "/manifests/") {
		manifestAnswer(ocispec.MediaTypeImageIndex, "", someManifest)(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(blobText))
}

func (s *tokenServer) addr() string { return s.Listener.Addr().String() }

func TestAnExpiredTokenIsReplacedAndTheSameRangeAskedForAgain(t *testing.T) {
	s := newTokenServer(t)
	s.uses = 1
	c := newClient(t, s.addr(), as(testUser, testPassword))
	for off := int64(0); off < 10_000; off += 1000 {
		body, err := c.Range(testContext(t), "app", blobDigest, blobSize, off, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readBody(t, body); err != nil || got != blobText[off:off+1000] {
			t.Errorf("at %d: got %d bytes, %v", off, len(got), err)
		}
	}
	if s.sold != 10 {
		t.Errorf("got %d tokens, want 10", s.sold)
	}
}

func TestACrowdWithAnExpiredTokenBuysOne(t *testing.T) {
	s := newTokenServer(t)
	c := newClient(t, s.addr(), as(testUser, testPassword))
	read := func() error {
		_, err := c.Manifest(testContext(t), "app", "v1")
		return err
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	clear(s.left) // all expire
	s.mu.Unlock()
	errs := make(chan error)
	for range 20 {
		go func() { errs <- read() }()
	}
	for range 20 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if s.sold != 2 {
		t.Errorf("got %d tokens, want 2", s.sold)
	}
}

// Somebody asks again and again for what we may not see: that costs the others
// nothing.
func TestRefusalsCostNoTokensOfOthers(t *testing.T) {
	s := newTokenServer(t)
	var reads atomic.Int32
	c := newClient(t, s.addr(), WithKeychain(func(string) (string, string, error) {
		reads.Add(1)
		return testUser, testPassword, nil
	}))
	now := time.Now()
	c.now = func() time.Time { return now }
	s.mu.Lock()
	s.closed = "secret"
	s.mu.Unlock()
	for range 10 {
		if _, err := c.Manifest(testContext(t), "app", "v1"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Manifest(testContext(t), "secret", "v1"); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("got %v, want fs.ErrPermission", err)
		}
		now = now.Add(c.limits.login / 4)
	}
	if s.soldFor["repository:app:pull"] != 1 || reads.Load() > 5 {
		t.Errorf("got tokens %v, and credentials read %d times, want one token for app and few reads", s.soldFor, reads.Load())
	}
}

// A registry moves its token service while the mount is up.
func TestANewTokenServiceIsFound(t *testing.T) {
	s := newTokenServer(t)
	c := newClient(t, s.addr(), as(testUser, testPassword))
	if _, err := c.Manifest(testContext(t), "app", "v1"); err != nil {
		t.Fatal(err)
	}
	s.service.Close()
	s.mu.Lock()
	clear(s.left)
	s.service = httptest.NewServer(http.HandlerFunc(s.sell))
	s.mu.Unlock()
	t.Cleanup(s.service.Close)
	if _, err := c.Manifest(testContext(t), "app", "v1"); err != nil {
		t.Error(err)
	}
}

func TestARotatedPasswordIsReadAgain(t *testing.T) {
	s := newTokenServer(t)
	var password atomic.Value
	password.Store(testPassword)
	c := newClient(t, s.addr(), WithKeychain(func(string) (string, string, error) { return testUser, password.Load().(string), nil }))
	now := time.Now()
	c.now = func() time.Time { return now }
	if _, err := c.Manifest(testContext(t), "app", "v1"); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.password = "another one"
	clear(s.left)
	s.mu.Unlock()
	if _, err := c.Manifest(testContext(t), "app", "v1"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("with the old password: got %v, want fs.ErrPermission", err)
	}
	password.Store("another one")
	now = now.Add(c.limits.login)
	if _, err := c.Manifest(testContext(t), "app", "v1"); err != nil {
		t.Errorf("with the new one: %v", err)
	}
}

func TestAnIdentityTokenBuysTokens(t *testing.T) {
	for name, refresh := range map[string]string{"by OAuth2": "1D3NT1TY", "where OAuth2 is not known": ""} {
		s := newTokenServer(t)
		s.refresh = refresh
		c := newClient(t, s.addr())
		c.keychain = func(string) (credentials, error) {
			return credentials{username: testUser, password: testPassword, identityToken: "1D3NT1TY"}, nil
		}
		if _, err := c.Manifest(testContext(t), "app", "v1"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARegistryTokenIsShownAsItIs(t *testing.T) {
	s := newTokenServer(t)
	s.left["R3G1STRY"] = 1
	c := newClient(t, s.addr())
	c.keychain = func(string) (credentials, error) { return credentials{registryToken: "R3G1STRY"}, nil }
	if _, err := c.Manifest(testContext(t), "app", "v1"); err != nil || s.sold != 0 {
		t.Errorf("got %v and %d tokens sold, want none", err, s.sold)
	}
}

// Whatever the other side says, and it may say all that it was sent.
func TestNoErrorQuotesASecret(t *testing.T) {
	secrets := []string{testPassword, base64.StdEncoding.EncodeToString([]byte(testUser + ":" + testPassword)), "T0K3N", "1D3NT1TY", "S1GN4TUR3"}
	check := func(name string, err error) {
		t.Helper()
		for _, s := range secrets {
			if err == nil || strings.Contains(err.Error(), s) {
				t.Errorf("%s: got %v, want an error without %s", name, err, s)
			}
		}
	}
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		user, password, _ := r.BasicAuth()
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"errors": [{"message": "%s with %s, sent as %s, may not; see /why?sig=S1GN4TUR3&x=1"}]}`, user, password, r.Header.Get("Authorization"))
	}))
	t.Cleanup(echo.Close)
	_, err := newClient(t, echo.Listener.Addr().String(), as(testUser, testPassword)).Tags(testContext(t), "app")
	check("a registry that echoes", err)

	s := newTokenServer(t)
	s.password = "another one"
	_, err = newClient(t, s.addr(), as(testUser, testPassword)).Tags(testContext(t), "app")
	check("a token service that echoes", err)

	s = newTokenServer(t)
	s.uses = 0
	_, err = newClient(t, s.addr(), as(testUser, testPassword)).Tags(testContext(t), "app")
	check("a registry that echoes tokens", err)

	for _, answer := range []string{`{"refresh_token": "1D3NT1TY"}`, `1D3NT1TY`, `{"token": "T0K3N\r\nX: y"}`} {
		s = newTokenServer(t)
		s.answer = func(string) string { return answer }
		_, err = newClient(t, s.addr(), as(testUser, testPassword)).Tags(testContext(t), "app")
		check("a token service that answers "+answer, err)
	}
	for _, host := range []string{"http://" + testUser + ":" + testPassword + "@host", testUser + ":" + testPassword + "@host/path", "https://" + testPassword + "@host:x"} {
		_, err = New(host)
		check(host, err)
		_, err = New("localhost", WithMirrors(host))
		check("mirror "+host, err)
		_, err = ParseReference(host + "/app")
		check("reference "+host, err)
	}
}

func TestAPasswordIsNotSentInPlainTextForATLSRegistry(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the plain token service saw %q", r.Header.Get("Authorization"))
	}))
	t.Cleanup(plain.Close)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token"`, plain.URL))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(s.Close)
	c := newClient(t, s.URL, as(testUser, testPassword), WithTransport(s.Client().Transport))
	if _, err := c.Tags(testContext(t), "app"); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "refused to send credentials") {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func TestDockerAndPodmanKeepCredentials(t *testing.T) {
	entry := func(host, user string) string {
		return fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, base64.StdEncoding.EncodeToString([]byte(user+":pw-of-"+user)))
	}
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"nobody":               {nil, ""},
		"docker":               {map[string]string{"docker/config.json": entry("example.org", "d")}, "d"},
		"podman":               {map[string]string{"run/containers/auth.json": entry("example.org", "p")}, "p"},
		"podman, home":         {map[string]string{"config/containers/auth.json": entry("example.org", "h")}, "h"},
		"podman beside docker": {map[string]string{"docker/config.json": entry("other.org", "d"), "run/containers/auth.json": entry("example.org", "p")}, "p"},
		"docker before podman": {map[string]string{"docker/config.json": entry("example.org", "d"), "run/containers/auth.json": entry("example.org", "p")}, "d"},
		"a credential helper":  {map[string]string{"docker/config.json": `{"credHelpers": {"example.org": "regfs-test"}}`}, "helped"},
		"one of podman":        {map[string]string{"docker/config.json": `{}`, "run/containers/auth.json": `{"credHelpers": {"example.org": "regfs-test"}}`}, "helped"},
		"a credentials store":  {map[string]string{"docker/config.json": `{"credsStore": "regfs-test", "auths": {"example.org": {}}}`}, "helped"},
		"another host's":       {map[string]string{"docker/config.json": entry("example.org:5000", "d")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range test.files {
				writeFile(t, filepath.Join(dir, file), text)
			}
			helper := filepath.Join(dir, "bin", "docker-credential-regfs-test")
			writeFile(t, helper, "#!/bin/sh\necho '{\"Username\": \"helped\", \"Secret\": \"pw-of-helped\"}'\n")
			if err := os.Chmod(helper, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", filepath.Dir(helper)+":"+os.Getenv("PATH"))
			t.Setenv("HOME", dir)
			t.Setenv("DOCKER_CONFIG", filepath.Join(dir, "docker"))
			t.Setenv("REGISTRY_AUTH_FILE", "")
			t.Setenv("XDG_RUNTIME_DIR", filepath.Join(dir, "run"))
			t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
			got, err := dockerAndPodman("example.org")
			want := credentials{username: test.want, password: "pw-of-" + test.want}
			if test.want == "" {
				want = credentials{}
			}
			if err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
}
