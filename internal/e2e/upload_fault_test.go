package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"
)

// walk reads what a reference names, and all that it names in turn: a tag never
// names what is not there. It tells whether there is such a tag.
func (r *registry) walk(t testing.TB, repo, tag string) bool {
	t.Helper()
	top := fetch(t, fmt.Sprintf("http://%s/v2/%s/manifests/%s", r.host, repo, tag), "Accept", typeIndex)
	if top.status == http.StatusNotFound {
		return false
	}
	for _, m := range decode[document](t, top.body).Manifests {
		d := r.manifest(t, repo, m.Digest)
		for _, blob := range append(d.Layers, d.Config) {
			r.read(t, repo, blob)
		}
	}
	return true
}

// uploadSite is small, and has all that an upload sends.
func uploadSite(more string) site {
	return site{"index.html": []byte("<h1>" + more + "</h1>\n"), "noise.bin": noise(3, 10_000), more + ".txt": []byte(more)}
}

// TestAKilledUploadCompletes kills uploads at each of their requests: before the
// registry gets it, and when it has done what was asked. The tag then names
// nothing or everything, and another run completes it.
func TestAKilledUploadCompletes(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	proxy := startFaultProxy(t, reg.host)
	images := bundle(t, uploadSite("killed").write(t), "v1")
	for name, done := range map[string]bool{"before": false, "after": true} {
		for n := 1; ; n++ {
			repo := fmt.Sprintf("%s-%d", name, n)
			if !killUpload(t, proxy, images, repo, n, done) {
				if n < 10 {
					t.Errorf("an upload took %d requests, want at least 10", n-1)
				}
				break
			}
			named := reg.walk(t, repo, "v1")
			upload(t, images, proxy.host(), repo, "v1")
			if !reg.walk(t, repo, "v1") {
				t.Errorf("killed %s request %d: the next run left no tag", name, n)
			}
			t.Logf("killed %s request %d: the tag was there: %v", name, n, named)
		}
	}
}

// killUpload kills an upload at its n-th request. It tells whether there was one.
func killUpload(t *testing.T, proxy *faultProxy, images, repo string, n int, done bool) bool {
	t.Helper()
	var mu sync.Mutex // guards the count, and has the first request wait for the process
	var seen int
	var p *process
	killed := false
	proxy.spoil(func(*http.Request) bool { return true }, 0, func(w http.ResponseWriter, req *http.Request, proxy *faultProxy) {
		mu.Lock()
		seen++
		mine := seen == n
		mu.Unlock()
		switch {
		case !mine:
			honest(w, req, proxy)
			return
		case done:
			if _, err := proxy.ask(req); err != nil {
				t.Error(err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		killed = true
		p.kill()
	})
	defer proxy.heal()
	mu.Lock()
	p = start(t, exec.Command(command(t, "upload"), "v1", proxy.host()+"/"+repo, "--images", images))
	mu.Unlock()
	<-p.done
	mu.Lock()
	defer mu.Unlock()
	if code := p.cmd.ProcessState.ExitCode(); !killed && code != 0 {
		t.Errorf("request %d: got exit code %d", n, code)
	}
	return killed
}

// TestUploadsRaceForATag pushes eight versions of a site to one tag at once. Each
// says that it was done, and in the end the tag is one of them, whole.
func TestUploadsRaceForATag(t *testing.T) {
	const racers = 8
	reg := startRegistry(t)
	sites, digests := map[string]site{}, make([]string, racers)
	images := make([]string, racers)
	for i := range racers {
		images[i] = bundle(t, uploadSite(fmt.Sprint("racer ", i)).write(t), "v1")
	}
	var race sync.WaitGroup
	for i := range racers {
		race.Go(func() { digests[i] = upload(t, images[i], reg.host, "my-app", "v1") })
	}
	race.Wait()
	for i, d := range digests {
		sites[d] = uploadSite(fmt.Sprint("racer ", i))
	}
	if len(sites) != racers {
		t.Fatalf("got %d digests, want %d", len(sites), racers)
	}
	reg.walk(t, "my-app", "v1")
	a := fetch(t, fmt.Sprintf("http://%s/v2/my-app/manifests/v1", reg.host), "Accept", typeIndex)
	final, ok := sites[a.header.Get("Docker-Content-Digest")]
	if !ok {
		t.Fatalf("the tag names %s, which nobody sent", a.header.Get("Docker-Content-Digest"))
	}
	d := mount(t, reg.host)
	compareTree(t, final.write(t), d.path("my-app/v1"))
}

// TestAnUploadMountsWhatAnotherRepositoryHas: nothing is sent then, and where the
// registry does not mount, or not for us, all is. A mount shows the same either way.
func TestAnUploadMountsWhatAnotherRepositoryHas(t *testing.T) {
	reg := startRegistry(t)
	s := uploadSite("mounted")
	images := bundle(t, s.write(t), "v1")
	want := upload(t, images, reg.host, "team/staging", "v1")
	proxy := startFaultProxy(t, reg.host)
	d := mount(t, reg.host)
	for _, row := range []struct {
		repo   string
		fault  fault
		mounts bool
	}{
		{"live", honest, true},
		{"refused", status(http.StatusAccepted), false},
		{"denied", status(http.StatusUnauthorized), false},
	} {
		rule := proxy.spoil(func(req *http.Request) bool { return req.URL.Query().Has("mount") }, 0, row.fault)
		got := run(t, "", command(t, "upload"), "v1", proxy.host()+"/"+row.repo, "--images", images, "--from", "team/staging", "--json")
		var said struct {
			Digest                         string
			Blobs, SentBlobs, MountedBlobs int
		}
		if err := json.Unmarshal([]byte(got.stdout), &said); got.code != 0 || err != nil {
			t.Fatalf("%s: got exit code %d, %q, %q", row.repo, got.code, got.stdout, got.stderr)
		}
		sent, mounted := said.Blobs, 0
		if row.mounts {
			sent, mounted = 0, said.Blobs
		}
		if said.Digest != want || said.SentBlobs != sent || said.MountedBlobs != mounted {
			t.Errorf("%s: got %+v, want %s, %d blobs sent and %d mounted", row.repo, said, want, sent, mounted)
		}
		if asked := len(proxy.seen(rule)); asked != said.Blobs {
			t.Errorf("%s: got %d questions for %d blobs", row.repo, asked, said.Blobs)
		}
		proxy.heal()
		reg.walk(t, row.repo, "v1")
		compareTree(t, s.write(t), d.path(row.repo+"/v1"))
	}
}

// TestUploadsThatNobodyTakes: a registry that is read-only or full, what stands
// before it and finds a blob too large. Each is one line that says what was sent,
// and what was answered, in short and without control characters; no tag is there.
func TestUploadsThatNobodyTakes(t *testing.T) {
	reg := startRegistry(t)
	images := bundle(t, smallSite().write(t), "v1")
	full := startFullRegistry(t)
	readOnly := startReadOnlyRegistry(t) // the last: it is by the environment that it is so
	for _, row := range []struct {
		repo  string // each has its own, so that nothing of another is there
		at    *registry
		host  string // before it
		words []string
	}{
		{"read-only", readOnly, readOnly.host, []string{"405"}},
		{"full-disk", full, full.host, []string{"500"}},
		{"too-large", reg, refuse(t, reg.host, http.MethodPut, "/blobs/", http.StatusRequestEntityTooLarge), []string{"413", "blob"}},
		{"no-storage", reg, refuse(t, reg.host, http.MethodPost, "/blobs/", http.StatusInsufficientStorage), []string{"507"}},
		{"no-tags", reg, refuse(t, reg.host, http.MethodPut, "/manifests/v1", http.StatusBadRequest), []string{"400", "manifest no-tags:v1"}},
	} {
		t.Run(row.repo, func(t *testing.T) {
			got := run(t, "", command(t, "upload"), "v1", row.host+"/"+row.repo, "--images", images)
			refusal{exitUnavailable, append(row.words, row.host, row.repo)}.want(t, got)
			wantOneLine(t, got.stderr)
			if row.at.walk(t, row.repo, "v1") {
				t.Error("the tag of an upload that failed is there")
			}
			if row.at == reg { // and now nothing stands in the way
				upload(t, images, reg.host, row.repo, "v1")
				reg.walk(t, row.repo, "v1")
			}
		})
	}
}

// wantOneLine fails the test unless text is one short line, fit for a terminal.
func wantOneLine(t *testing.T, text string) {
	t.Helper()
	const most = 800 // what was sent, and 500 bytes of the answer
	line := strings.TrimSuffix(text, "\n")
	if len(line) > most || strings.ContainsFunc(line, unicode.IsControl) {
		t.Errorf("got %d bytes %q, want one line of at most %d", len(line), line, most)
	}
}

// refuse is a registry that answers some requests with a status, and says a lot.
func refuse(t *testing.T, host, method, path string, code int) string {
	t.Helper()
	proxy := startFaultProxy(t, host)
	proxy.spoil(func(req *http.Request) bool { return req.Method == method && strings.Contains(req.URL.Path, path) }, 0,
		func(w http.ResponseWriter, req *http.Request, _ *faultProxy) {
			w.WriteHeader(code)
			fmt.Fprintf(w, "\x1b]0;title\x07\x1b[31mno\r\n\x00%s", strings.Repeat("no more room \x08\x9b", 10_000))
		})
	return proxy.host()
}

// startReadOnlyRegistry starts a registry under maintenance.
func startReadOnlyRegistry(t *testing.T) *registry {
	t.Helper()
	t.Setenv("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")
	return startRegistry(t)
}

// startFullRegistry starts a registry with a disk that is smaller than the site.
func startFullRegistry(t *testing.T) *registry {
	t.Helper()
	needMount(t)
	disk := newDir(t)
	must(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { must(t, unix.Unmount(disk, 0)) })
	return runRegistry(t, filepath.Join(disk, "data"), freeAddress(t), "")
}
