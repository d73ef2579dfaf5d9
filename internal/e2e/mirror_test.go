package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// startMirror starts a docker-registry that pulls through from the one at
// upstream.
func startMirror(t testing.TB, upstream string) *registry {
	t.Helper()
	return runRegistry(t, filepath.Join(newDir(t), "data"), freeAddress(t), fmt.Sprintf("proxy: {remoteurl: %q}\n", "http://"+upstream))
}

// TestAPullThroughMirrorIsAskedForContent: with a mirror the registry is asked
// what there is, and the mirror for what it is; without it all comes from the
// registry, and while the registry is away the mirror has what it pulled.
func TestAPullThroughMirrorIsAskedForContent(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "team/my-app", "v1")
	mirror := startMirror(t, reg.host)
	direct, byMirror := startRelay(t, reg.host), startRelay(t, mirror.host)
	d := mount(t, direct.host, quick, "--mirror", freeAddress(t), "--mirror", byMirror.host)
	wantSite(t, d.path("team/my-app/v1"), s)
	for _, q := range direct.since(0, "") {
		if q.kind == "blobs" || q.kind == "manifests" && q.method == http.MethodGet {
			t.Errorf("the registry was asked: %s %s", q.method, q.path)
		}
	}
	if got := bytesOf(byMirror.since(0, "blobs")); got < 1<<20 {
		t.Errorf("got %d bytes of blobs from the mirror, want the site's", got)
	}

	status := succeed(t, "", command(t, "regfs"), "status", d.dir)
	for _, line := range []string{"mirror\t" + byMirror.host + "\n", "\tnot asked: "} { // the other one nobody listens at
		if !strings.Contains(status, line) {
			t.Errorf("status: got no %q in\n%s", line, status)
		}
	}

	byMirror.down()
	v2 := s.with(site{"index.html": []byte("<h1>the second</h1>\n")})
	v2.publish(t, reg.host, "team/my-app", "v2")
	waitForStat(t, d.path("team/my-app/v2"))
	wantSite(t, d.path("team/my-app/v2"), v2)

	byMirror.up()
	direct.down()
	// That there is such a repository nobody else can say.
	other := mount(t, direct.host, quick, "--mirror", byMirror.host, "--repo", "team/my-app")
	waitForStat(t, other.path("team/my-app/v1"))
	wantSite(t, other.path("team/my-app/v1"), s)
	wantErrno(t, other.path("team/my-app/v9"), syscall.EIO) // only the registry can say no
}

// TestAMirrorThatLiesIsNotBelieved: whatever is wrong with what it sends, the
// right bytes come from the registry.
func TestAMirrorThatLiesIsNotBelieved(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	sites := map[string]site{"small": smallSite(), "large": manyFiles(5, 4<<20+part)} // read whole, and by ranges
	for repo, s := range sites {
		s.publish(t, reg.host, repo, "v1")
	}
	for name, f := range map[string]fault{
		"flips bits":        altered(true, flipped),
		"cuts":              cut(2),
		"has another range": onlyRanges(altered(true, ranged("bytes 7%d-%d/%d"))),
		"redirects":         redirect("http://169.254.169.254/"),
		"answers 500":       status(http.StatusInternalServerError),
	} {
		t.Run(name, func(t *testing.T) {
			mirror := startFaultProxy(t, reg.host)
			lies := mirror.spoil(func(req *http.Request) bool { return strings.Contains(req.URL.Path, "/blobs/") }, 0, f)
			for repo, s := range sites {
				d := mount(t, reg.host, never, "--mirror", mirror.host())
				for _, file := range s.names()[:2] {
					wantFile(t, d.path(repo, "v1", file), s[file])
				}
			}
			if len(mirror.seen(lies)) == 0 {
				t.Error("the mirror was not asked")
			}
		})
	}
}
