package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tagState is what "regfs status --json" says of a tag.
type tagState struct {
	Tag, Digest, Bad, Problem string
}

func (d *daemon) tagState(t testing.TB, tag string) tagState {
	t.Helper()
	r := run(t, "", command(t, "regfs"), "status", "--json", d.dir) // degraded is exit code 3
	for _, s := range decode[struct{ Tags []tagState }](t, []byte(r.stdout)).Tags {
		if s.Tag == tag {
			return s
		}
	}
	return tagState{}
}

// TestTheLastGoodVersionStays: a tag is moved to a version that the registry has
// damaged. It is not shown, what was there is, and status names the culprit; when
// it is repaired it is switched in.
func TestTheLastGoodVersionStays(t *testing.T) {
	reg := startRegistry(t)
	before, after := pair()
	before.publish(t, reg.host, "my-app", "live")
	after.publish(t, reg.host, "my-app", "next")
	next := reg.fetchManifest(t, "my-app", "next")
	blob := reg.blob(reg.layer(t, "my-app", "next").Digest)
	info, err := os.Stat(blob)
	must(t, err)
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host, quick)
	web := startNginx(t, d.dir)
	web.compare(t, before, "/my-app/live/")

	damaged := info.Size() - 200 // in the table of contents, which is read first
	flip(t, blob, damaged)
	reg.putManifest(t, "my-app", "live", next)
	var state tagState
	if !eventually(startLimit, func() bool { state = d.tagState(t, "live"); return state.Bad != "" }) {
		t.Fatalf("status does not name the bad version: %+v", state)
	}
	if state.Bad != next.digest() || state.Problem == "" || state.Digest == next.digest() {
		t.Errorf("status: got %+v, want %s to be bad", state, next.digest())
	}
	if r := run(t, "", command(t, "regfs"), "status", d.dir); r.code != 3 || !contains(r, "degraded") {
		t.Errorf("status: got exit code %d, want 3 and degraded:\n%s", r.code, r.stdout)
	}
	web.compare(t, before, "/my-app/live/")
	mark := relay.mark()
	for range 5 { // refreshes, all in all, of a second
		waitFor(t, d.path("my-app/live/index.html"), before["index.html"])
	}
	if got := len(relay.since(mark, "blobs")); got > 6 {
		t.Errorf("the bad version was read %d times in a moment", got)
	}
	flip(t, blob, damaged)
	waitFor(t, d.path("my-app/live/index.html"), after["index.html"])
	web.compare(t, after, "/my-app/live/")
	if !eventually(startLimit, func() bool { return d.tagState(t, "live").Problem == "" }) {
		t.Errorf("status after the repair: %+v", d.tagState(t, "live"))
	}
}

// TestADeletedRepositoryGoes: its folder is taken out of the registry's storage,
// as administrators do; who has a file open reads it to the end.
func TestADeletedRepositoryGoes(t *testing.T) {
	for name, catalog := range map[string]bool{"listed": true, "not listed": false} {
		t.Run(name, func(t *testing.T) {
			reg := startRegistry(t)
			s := smallSite()
			s.publish(t, reg.host, "team/app", "v1")
			s.publish(t, reg.host, "single", "v1")
			s.publish(t, reg.host, "other", "v1")
			relay := startRelay(t, reg.host)
			if !catalog {
				relay.set(noCatalog)
			}
			d := mount(t, relay.host, quick)
			wantFile(t, d.path("team/app/v1/index.html"), s["index.html"])
			wantFile(t, d.path("single/v1/index.html"), s["index.html"])
			wantFile(t, d.path("other/v1/index.html"), s["index.html"])
			open, err := os.Open(d.path("team/app/v1/media/noise.bin"))
			must(t, err)
			defer open.Close()

			for _, repo := range []string{"team", "single"} {
				must(t, os.RemoveAll(filepath.Join(reg.data, "docker/registry/v2/repositories", repo)))
			}
			paths := []string{"team/app/v1/index.html", "team/app", "team", "single/v1/index.html", "single"}
			if !catalog {
				paths = slices.Delete(paths, 2, 3) // there may be others below it
			}
			for _, path := range paths {
				var err error
				if !eventually(startLimit, func() bool { _, err = os.Stat(d.path(path)); return errors.Is(err, os.ErrNotExist) }) {
					t.Errorf("%s: got %v, want %v", path, err, os.ErrNotExist)
				}
			}
			wantFile(t, d.path("other/v1/index.html"), s["index.html"])
			if got := strings.Join(entries(t, d.path("")), " "); got != "other" {
				t.Errorf("the root lists %q, want other alone", got)
			}
			var text strings.Builder
			if _, err := open.WriteTo(&text); err != nil || text.String() != string(s["media/noise.bin"]) {
				t.Errorf("the open file: got %d bytes, %v; want all of it", text.Len(), err)
			}
		})
	}
}

// TestEveryOwnerIsFoundWithoutAListing: Docker Hub and GHCR list nothing, and all
// their repositories are below an owner's name.
func TestEveryOwnerIsFoundWithoutAListing(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "owner/app", "v1")
	relay := startRelay(t, reg.host)
	relay.set(noCatalog)
	d := mount(t, relay.host)
	web := startNginx(t, d.dir)
	web.compare(t, s, "/owner/app/v1/")
	wantFile(t, d.path("owner/app:v1/index.html"), s["index.html"])
	for _, path := range []string{"/favicon.ico", "/nobody/app/v1/", "/owner/nothing/v1/", "/owner/app/v2/", "/nobody/v1/index.html"} {
		if got := fetch(t, web.url+path).status; got != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, got)
		}
	}
	mark := relay.mark()
	if got := fetch(t, web.url+"/nobody").status; got >= 500 {
		t.Errorf("a name that may be an owner's: got %d", got)
	}
	if got := len(relay.since(mark, "")); got > 3 {
		t.Errorf("it cost %d requests", got)
	}
}

// TestPatternsLimitWhatCanBeLookedUp: with --repo 'team/*' the rest of the
// registry is not there, and is not asked for, under any spelling.
func TestPatternsLimitWhatCanBeLookedUp(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	for _, repo := range []string{"team/app", "team/deep/app", "other"} {
		s.publish(t, reg.host, repo, "v1")
	}
	for name, listing := range map[string]relayMode{"listed": pass, "not listed": noCatalog} {
		t.Run(name, func(t *testing.T) {
			relay := startRelay(t, reg.host)
			relay.set(listing)
			d := mount(t, relay.host, "--repo=team/*")
			wantFile(t, d.path("team/app/v1/index.html"), s["index.html"])
			wantFile(t, d.path("team/app:v1/index.html"), s["index.html"])
			mark := relay.mark()
			for _, path := range []string{"other", "other/v1", "other:v1", "team/deep/app", "team/deep:v1", "Team/app", "team/app/-v1", "team/app:.v1"} {
				if _, err := os.Stat(d.path(path)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s: got %v, want %v", path, err, os.ErrNotExist)
				}
			}
			for _, q := range relay.since(mark, "") {
				if strings.Contains(q.path, "other") || strings.Contains(q.path, "deep/app") {
					t.Errorf("the registry was asked for %s", q.path)
				}
			}
		})
	}
}
