package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

// notJSON is a manifest that is none, with the registry's word that it is the tag's.
func notJSON(w http.ResponseWriter, req *http.Request, _ *faultProxy) {
	const text = "this is no manifest"
	w.Header().Set("Content-Type", typeIndex)
	w.Header().Set("Docker-Content-Digest", digest.FromString(text).String())
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	if req.Method != http.MethodHead {
		_, _ = io.WriteString(w, text)
	}
}

// health is what a mount says of itself, and of one tag.
func (d *daemon) health(t *testing.T, tag string) (healthy bool, problem, ofTag string) {
	t.Helper()
	text, err := os.ReadFile(d.path(".regfs/status.json"))
	must(t, err)
	s := decode[struct {
		Healthy bool
		Problem string
		Tags    []struct{ Tag, Problem string }
	}](t, text)
	for _, st := range s.Tags {
		if st.Tag == tag {
			ofTag = st.Problem
		}
	}
	return s.Healthy, s.Problem, ofTag
}

// TestAManifestThatIsNoneIsItsVersionsFault: the registry answers, and all else is
// served. A tag of which an older version is known goes on showing that.
func TestAManifestThatIsNoneIsItsVersionsFault(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	for _, tag := range []string{"v1", "v2", "v3"} {
		s.publish(t, reg.host, "my-app", tag)
	}
	proxy := startFaultProxy(t, reg.host)
	d := mount(t, proxy.host(), quick)
	web := startNginx(t, d.dir)
	wantSite(t, d.path("my-app/v1"), s)
	bad := proxy.spoil(func(req *http.Request) bool {
		return !manifestOf("v3")(req) && strings.Contains(req.URL.Path, "/manifests/v")
	}, 0, notJSON)

	wantErrno(t, d.path("my-app/v2/index.html"), syscall.EIO)
	if got := fetch(t, web.url+"/my-app/v2/index.html").status; got != http.StatusServiceUnavailable {
		t.Errorf("through nginx: got %d, want 503", got)
	}
	if _, _, why := d.health(t, "v2"); !strings.Contains(why, "JSON") && !strings.Contains(why, "invalid character") {
		t.Errorf("status of the bad one: got %q, want what is wrong with it", why)
	}
	if !eventually(startLimit, func() bool { _, problem, why := d.health(t, "v1"); return why != "" && strings.Contains(problem, "v1") }) {
		t.Error("status does not say that the newest version of v1 is not shown")
	}
	wantSite(t, d.path("my-app/v1"), s)
	wantSite(t, d.path("my-app/v3"), s) // at once: the registry is not away
	if len(proxy.seen(bad)) == 0 {
		t.Error("the registry was not asked")
	}
	proxy.heal()
	waitFor(t, d.path("my-app/v2/index.html"), s["index.html"])
}

// TestAPageToLogInIsNobodysWord: whatever stands before the registry answers in its
// place, so that the registry is away: no name is missing, and status says what came.
func TestAPageToLogInIsNobodysWord(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	proxy := startFaultProxy(t, reg.host)
	d := mount(t, proxy.host(), quick)
	web := startNginx(t, d.dir)
	wantSite(t, d.path("my-app/v1"), s)
	proxy.spoil(func(*http.Request) bool { return true }, 0, says("<html>please log in</html>"))
	for _, name := range []string{"my-app/v9", "nobody/v1"} {
		wantErrno(t, d.path(name), syscall.EIO)
		if got := fetch(t, web.url+"/"+name+"/").status; got != http.StatusServiceUnavailable {
			t.Errorf("%s through nginx: got %d, want 503", name, got)
		}
	}
	wantSite(t, d.path("my-app/v1"), s)
	healthy, problem, _ := d.health(t, "v1")
	if healthy || !strings.Contains(problem, "not JSON") && !strings.Contains(problem, "not a list") {
		t.Errorf("status: got healthy %v, %q, want what came in the registry's place", healthy, problem)
	}
	if text, err := os.ReadFile(d.log); err != nil || !strings.Contains(string(text), "the manifest is not JSON") {
		t.Errorf("the log does not say what came, %v:\n%s", err, text)
	}
	proxy.heal()
	missing := func() bool { _, err := os.Stat(d.path("my-app/v9")); return os.IsNotExist(err) }
	if !eventually(startLimit, missing) {
		t.Error("when it is over a name that the registry has not is not missing")
	}
}
