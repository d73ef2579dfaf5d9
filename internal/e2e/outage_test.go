package e2e

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// awayFor is how long the registry is away: ten seconds, or what REGFS_SOAK
// says. Whatever could run out meanwhile (deadlines, pauses, ages) is shorter.
func awayFor(t testing.TB) time.Duration {
	t.Helper()
	text := os.Getenv("REGFS_SOAK")
	if text == "" {
		return 10 * time.Second
	}
	away, err := time.ParseDuration(text)
	must(t, err)
	return away
}

// TestTheRegistryIsAwayUnderLoad: visitors read all pages of two sites without a
// pause while the registry goes away and comes back. Each gets the right bytes;
// the mount says that it is degraded; and what it never saw is there as soon as
// the registry is.
func TestTheRegistryIsAwayUnderLoad(t *testing.T) {
	once(t)
	var cases sync.WaitGroup // they wait at the same time
	defer cases.Wait()
	for name, leave := range map[string]struct{ down, up func(*relay) }{
		"refuses": {(*relay).down, (*relay).up},
		"fails":   {func(r *relay) { r.set(fail) }, func(r *relay) { r.set(pass) }},
		"is mute": {func(r *relay) { r.set(hang) }, func(r *relay) { r.letGo(); r.set(pass) }},
	} {
		cases.Go(func() {
			t.Run(name, func(t *testing.T) { tryOutage(t, leave.down, leave.up) })
		})
	}
}

func tryOutage(t *testing.T, leave, comeBack func(*relay)) {
	o := newOutage(t)
	o.s.publish(t, o.reg.host, "other", "v1")
	wantSite(t, o.d.path("other/v1"), o.s)
	stop := o.load(t)
	defer stop()

	leave(o.relay)
	end := time.Now().Add(awayFor(t))
	o.s.publish(t, o.reg.host, "my-app", "v9") // past the relay
	degraded := false
	for time.Now().Before(end) {
		r := run(t, "", command(t, "regfs"), "status", o.d.dir)
		degraded = degraded || r.code == exitPartial
		_, _ = os.Stat(o.d.path("my-app/v9")) // somebody always asks for what is not known
		time.Sleep(100 * time.Millisecond)
	}
	if !degraded {
		t.Error("the mount never said that it is degraded")
	}
	comeBack(o.relay)
	back := time.Now()
	waitForStat(t, o.d.path("my-app/v9"))
	t.Logf("what was not known before was there %v after the registry", time.Since(back).Round(time.Millisecond))
	wantSite(t, o.d.path("my-app/v9"), o.s)
}

// load reads all pages of both sites in circles through nginx, each time by a
// new request, until stop, which says whether any was not right.
func (o *outage) load(t *testing.T) (stop func()) {
	const visitors = 2
	var ended atomic.Bool
	var pages atomic.Int64
	var readers sync.WaitGroup
	for v := range visitors {
		readers.Go(func() {
			names := o.s.names()
			for i := v; !ended.Load(); i++ {
				name := names[i%len(names)]
				repo := []string{"my-app", "other"}[i/len(names)%2]
				if !plain(name) {
					continue
				}
				resp, err := client.Get(o.web.url + "/" + repo + "/v1/" + name)
				if err != nil {
					t.Errorf("%s/%s: %v", repo, name, err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(body, o.s[name]) {
					t.Errorf("%s/%s: got %d with %d bytes, %v, want the right %d", repo, name, resp.StatusCode, len(body), err, len(o.s[name]))
					return
				}
				pages.Add(1)
				time.Sleep(time.Millisecond)
			}
		})
	}
	return func() {
		ended.Store(true)
		readers.Wait()
		t.Logf("%d pages were read", pages.Load())
		if pages.Load() < visitors {
			t.Error("hardly any page was read")
		}
	}
}

// plain is whether a name can stand in an address as it is.
func plain(name string) bool { return !strings.ContainsAny(name, " ?&ü") }
