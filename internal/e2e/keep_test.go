package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAFullDiskKeepsNothingFromServing gives the cache a disk that holds a
// fraction of the site.
func TestAFullDiskKeepsNothingFromServing(t *testing.T) {
	needMount(t)
	reg := startRegistry(t)
	s := smallSite().with(site{"media/a.bin": noise(11, 3<<20), "media/b.bin": noise(12, 3<<20)})
	s.publish(t, reg.host, "my-app", "v1")
	s.publish(t, reg.host, "twin", "v1")
	disk := newDir(t)
	must(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"))
	t.Cleanup(func() { must(t, unix.Unmount(disk, 0)) })
	d := mount(t, reg.host, quick, "--cache="+filepath.Join(disk, "cache"))
	web := startNginx(t, d.dir)
	for range 2 {
		web.compare(t, s, "/my-app/v1/")
		web.compare(t, s, "/twin/v1/") // whose marks find no room either
	}
	r := run(t, "", command(t, "regfs"), "status", d.dir)
	if r.code != 3 || !contains(r, "cache") {
		t.Errorf("status of a mount whose cache is full: got %+v, want exit code 3 and a word about the cache", r)
	}
	if got := fetch(t, web.url+"/my-app/v1/nothing").status; got != http.StatusNotFound {
		t.Errorf("a name that the site has not: got %d, want 404", got)
	}
}

// TestPrefetchAndPinKeepVersionsLocal reads versions into the cache, by command
// and by flag, and then takes the registry away.
func TestPrefetchAndPinKeepVersionsLocal(t *testing.T) {
	reg := startRegistry(t)
	first, second := smallSite(), smallSite().with(site{"media/two.bin": noise(21, 2<<20)})
	first.publish(t, reg.host, "team/docs", "v1")
	digest := second.publish(t, reg.host, "my-app", "v2")
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host, quick, "--pin=team/docs:v1")
	out := succeed(t, "", command(t, "regfs"), "prefetch", "--mount", d.dir, "my-app@"+digest, "my-app:v2")
	if want := "my-app@" + digest + "\t13 files\t"; !strings.HasPrefix(out, want) || strings.Count(out, "\n") != 2 {
		t.Errorf("prefetch printed %q, want two lines, the first beginning with %q", out, want)
	}
	if !eventually(startLimit, func() bool {
		return strings.Contains(succeed(t, "", command(t, "regfs"), "status", "--json", d.dir), `"pinned": "local"`)
	}) {
		t.Error("the pinned version is not local")
	}
	relay.down()
	compareTree(t, first.write(t), d.path("team/docs/v1"))
	compareTree(t, second.write(t), d.path("my-app/v2"))

	for ref, want := range map[string]int{"my-app:v9": 1, "my-app": 2, "my-app:v2@x": 2} {
		if r := run(t, "", command(t, "regfs"), "prefetch", "--mount", d.dir, ref); r.code != want || !contains(r, ref) {
			t.Errorf("prefetch %s without the registry: got %+v, want exit code %d and the name", ref, r, want)
		}
	}
	relay.up()
	if r := run(t, "", command(t, "regfs"), "prefetch", "--mount", newDir(t), "my-app:v2"); r.code != 4 {
		t.Errorf("prefetch without a mount: got %+v, want exit code 4", r)
	}
}

// TestTwoDaemonsShareACache runs two mounts on one cache folder, ends one of them
// in the middle, and starts it again.
func TestTwoDaemonsShareACache(t *testing.T) {
	reg := startRegistry(t)
	first, second := smallSite(), manyFiles(200, 20_000)
	a, b := first.write(t), second.write(t)
	publishDir(t, a, reg.host, "my-app", "v1")
	publishDir(t, b, reg.host, "other", "v1")
	one := mount(t, reg.host)
	two := mount(t, reg.host, "--cache="+one.cache)
	var readers sync.WaitGroup
	for _, d := range []*daemon{one, two} {
		readers.Go(func() {
			for range 3 {
				compareTree(t, a, d.path("my-app/v1"))
				compareTree(t, b, d.path("other/v1"))
			}
		})
	}
	readers.Wait()
	one.kill()
	compareTree(t, a, two.path("my-app/v1"))
	one.launch(t)
	two.unmountCleanly(t)
	compareTree(t, a, one.path("my-app/v1"))
	compareTree(t, b, one.path("other/v1"))
}
