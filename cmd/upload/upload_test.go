package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/regfs/regfs/internal/cli"
)

// images makes a folder with one layout per version, and returns it with the
// digests that they are pushed as.
func images(t *testing.T, versions ...string) (dir string, digests map[string]string) {
	t.Helper()
	dir, digests = t.TempDir(), map[string]string{}
	for _, version := range versions {
		image, err := random.Image(2000, 1)
		if err != nil {
			t.Fatal(err)
		}
		p, err := layout.Write(filepath.Join(dir, version), empty.Index)
		if err == nil {
			err = p.AppendImage(image)
		}
		if err != nil {
			t.Fatal(err)
		}
		d, _ := image.Digest()
		digests[version] = d.String()
	}
	return dir, digests
}

// serve runs h before an in-process registry and returns its host:port.
func serve(t *testing.T, h func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h == nil || !h(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// run runs the command without anybody's credentials.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Setenv("REGISTRY_AUTH_FILE", "")
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("XDG_CONFIG_HOME", "")
	var out, errs bytes.Buffer
	code = cli.Run(command(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestUploadPrintsWhatTheTagNames(t *testing.T) {
	dir, digests := images(t, "v1")
	host := serve(t, nil)
	const served = "where a mount is served: http://localhost:8080/team/docs/v1/ and http://v1--team--docs.sites.localhost:8080/\n"
	code, out, errs := run(t, "v1", host+"/team/docs", "--images", dir)
	if want := host + "/team/docs@" + digests["v1"] + "\n"; code != cli.ExitOK || out != want {
		t.Errorf("got %d, %q, %q, want 0 and %q", code, out, errs, want)
	}
	if want := "sent 2 of 2 blobs, "; !strings.HasPrefix(errs, want) || !strings.HasSuffix(errs, "\n"+served) || strings.Count(errs, "\n") != 2 {
		t.Errorf("got %q on stderr, want %q and %q", errs, want, served)
	}
	code, out, errs = run(t, "v1", "http://"+host+"/team/docs", "--images", dir, "--web", "")
	if want := host + "/team/docs@" + digests["v1"] + "\n"; code != cli.ExitOK || out != want {
		t.Errorf("again: got %d, %q, want 0 and %q", code, out, want)
	}
	if want := "sent nothing: all 2 blobs and the tag were there\n"; errs != want {
		t.Errorf("again: got %q on stderr, want %q", errs, want)
	}
}

func TestUploadPrintsJSON(t *testing.T) {
	dir, digests := images(t, "v1")
	host := serve(t, nil)
	code, out, errs := run(t, "v1", host+"/docs", "--images", dir, "--json", "--web", "https://example.org/")
	var got result
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != cli.ExitOK {
		t.Fatalf("got %d, %q, %q, %v", code, out, errs, err)
	}
	want := result{Repository: host + "/docs", Tag: "v1", Digest: got.Digest, Blobs: 2, SentBlobs: 2, SentBytes: got.SentBytes,
		Path: "https://example.org/docs/v1/", Host: "https://v1--docs.sites.example.org/"}
	if got != want || got.Digest.String() != digests["v1"] || got.SentBytes < 2000 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFromMayNameTheRegistryToo(t *testing.T) {
	for _, from := range []string{"team/staging", "localhost:5000/team/staging", "http://localhost:5000/team/staging"} {
		u := upload{from: from}
		if err := u.parse([]string{"v1", "localhost:5000/docs"}); err != nil || u.from != "team/staging" {
			t.Errorf("%s: got %q, %v, want team/staging", from, u.from, err)
		}
	}
}

func TestFlagsComeFromTheEnvironment(t *testing.T) {
	dir, digests := images(t, "v1")
	t.Setenv("REGFS_IMAGES", dir)
	if code, out, errs := run(t, "v1", serve(t, nil)+"/docs"); code != cli.ExitOK || !strings.Contains(out, digests["v1"]) {
		t.Errorf("got %d, %q, %q, want 0 and the digest", code, out, errs)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	dir, _ := images(t, "v1", "v2")
	corrupt, digests := images(t, "v1")
	manifest := filepath.Join(corrupt, "v1", "blobs", "sha256", strings.TrimPrefix(digests["v1"], "sha256:"))
	if err := os.WriteFile(manifest, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	status := func(code int) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut || r.Method == http.MethodPost || code == http.StatusUnauthorized {
				http.Error(w, "the quota of this project is full", code)
				return true
			}
			return false
		})
	}
	private := status(http.StatusUnauthorized)
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(tls.Close)
	tlsHost := tls.Listener.Addr().String()
	plain := serve(t, nil)

	for _, test := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no arguments", nil, cli.ExitUsage, "accepts between 1 and 2 arg(s)"},
		{"no version", []string{"../v1"}, cli.ExitUsage, `version "../v1" cannot be a tag`},
		{"unknown flag", []string{"v1", "--image", dir}, cli.ExitUsage, "unknown flag: --image"},
		{"with a tag", []string{"v1", "localhost:5000/docs:v1"}, cli.ExitUsage, `leave out ":v1", the tag is the version, v1`},
		{"with a digest", []string{"v1", "docs@sha256:" + strings.Repeat("0", 64)}, cli.ExitUsage, "has a digest: leave it out"},
		{"no repository", []string{"v1", "Docs"}, cli.ExitUsage, `"Docs" is not a repository name`},
		{"from elsewhere", []string{"v1", "localhost:5000/docs", "--from", "localhost:5001/docs"}, cli.ExitUsage, "blobs can only be mounted within one registry"},
		{"no such version", []string{"v3", "--images", dir}, cli.ExitNotFound, "v3 is not there (there are v1, v2): `bundle v3` makes it"},
		{"no versions", []string{"v3", "--images", "nowhere"}, cli.ExitNotFound, "there are no versions in nowhere"},
		{"no layout", []string{"v1", "--images", emptyVersion(t)}, cli.ExitNotFound, "not an OCI image layout"},
		{"refused", []string{"v1", status(http.StatusForbidden) + "/docs", "--images", dir}, cli.ExitNotAllowed, "403 Forbidden: the quota of this project is full"},
		{"not logged in", []string{"v1", private + "/docs", "--images", dir}, cli.ExitNotAllowed, "run `docker login " + private + "`"},
		{"full", []string{"v1", status(http.StatusInsufficientStorage) + "/docs", "--images", dir}, cli.ExitUnavailable, "507 Insufficient Storage: the quota"},
		{"nobody there", []string{"v1", "127.0.0.1:1/docs", "--images", dir}, cli.ExitUnavailable, "connection refused: is a registry running at 127.0.0.1:1?"},
		{"TLS to plain", []string{"v1", "https://" + plain + "/docs", "--images", dir}, cli.ExitUnavailable, "the registry speaks plain HTTP: say http://" + plain},
		{"plain to TLS", []string{"v1", tlsHost + "/docs", "--images", dir}, cli.ExitUnavailable, "the registry speaks TLS, say https://" + tlsHost},
		{"corrupt layout", []string{"v1", plain + "/docs", "--images", corrupt}, cli.ExitMismatch, manifest},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errs := run(t, test.args...)
			if code != test.code || !strings.Contains(errs, test.want) || out != "" {
				t.Errorf("got %d, stdout %q, stderr %q, want %d, nothing, and %q", code, out, errs, test.code, test.want)
			}
		})
	}
}

// emptyVersion is a folder of images in which v1 is no layout.
func emptyVersion(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "v1"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
