package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soaking is whether the tests that can go on for long do: make soak.
func soaking() bool { return os.Getenv("REGFS_SOAK") != "" }

// sized is how much of something a test does, in the suite and when soaking.
func sized(usual, soak int) int {
	if soaking() {
		return soak
	}
	return usual
}

const (
	// registryLimit is what the registry is asked at most in a second, as the
	// README says.
	registryLimit = 50
	// passing is how many more may arrive in one second of a busy relay: those
	// that were sent in the second before.
	passing = 10
	// stormClients are the connections over which names are made up, stormPace how
	// many in a second: faster, and it is the processors that visitors wait for.
	stormClients = 16
	stormPace    = 2000
	// noise99 is how much longer an answer in a hundred may take because the machine
	// runs other tests too.
	noise99 = 100 * time.Millisecond
	// stormMemory is how much more memory a daemon may use after a storm, in KiB:
	// garbage that was not collected yet.
	stormMemory = 48 << 10
)

// TestAStormOfUnknownNames: scanners ask nginx for names that never existed, each
// another one, repositories and tags. The registry is asked for the first of them,
// until it is known to be a storm, the daemon's memory stays as it is, and the
// visitors of a known page hardly notice.
func TestAStormOfUnknownNames(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	s.publish(t, reg.host, "new", "v1") // which nobody has looked at
	relay := startRelay(t, reg.host)
	relay.set(noCatalog) // with one the daemon could tell without asking
	d := mount(t, relay.host)
	web := startNginx(t, d.dir)
	page := "/my-app/v1/index.html"
	if got := fetchOK(t, web.url+page); !bytes.Equal(got, s["index.html"]) {
		t.Fatalf("got %q, want %q", got, s["index.html"])
	}
	idle := probe(t, web.url, page, s["index.html"], make(chan struct{}), 2*time.Second)
	whileItStorms := func(done <-chan struct{}) []time.Duration {
		return probe(t, web.url, page, s["index.html"], done, time.Hour)
	}
	// As many names that cannot be: what they cost is the processors' time alone.
	free := &storm{t: t, url: web.url, names: 3 * stormPace, pace: stormPace, forms: []string{"/ZZ-%d/v1/index.html"}}
	control := free.during(whileItStorms)

	before, mark := memoryOf(t, d), relay.mark()
	st := &storm{t: t, url: web.url, names: sized(3*stormPace, 1_000_000), pace: stormPace, forms: []string{"/zz-%d/v1/index.html", "/my-app/zz-%d/index.html"}}
	begin := time.Now()
	visits := make(chan int, 1)
	go func() { visits <- visitAgain(t, web.url, "/new/v1/index.html") }()
	busy := st.during(whileItStorms)
	took := time.Since(begin)

	seen := relay.since(mark, "")
	worst := mostInASecond(seen)
	t.Logf("%d unknown names in %v (%.0f/s): %d answers of 404, %d of 503; the registry was asked %d times, at most %d times a second",
		st.names, took.Round(time.Millisecond), float64(st.names)/took.Seconds(), st.absent.Load(), st.busy.Load(), len(seen), worst)
	for _, part := range []struct {
		when  string
		times []time.Duration
	}{
		{"idle", idle},
		{"beside names that cannot be", control},
		{"in the storm", busy},
		{"in its first quarter, in which names are waited for", busy[:len(busy)/4]},
		{"in the rest of it", busy[len(busy)/4:]},
	} {
		t.Logf("a known page %s: median %v, p90 %v, p99 %v of %d", part.when, percentile(part.times, 50), percentile(part.times, 90), p99(part.times), len(part.times))
	}
	t.Logf("memory of the daemon: %d KiB before, %d after; a visitor of a new site saw it with visit %d", before, memoryOf(t, d), <-visits)
	// Names that come up once are asked for until it is a storm, and again after a
	// time in which the machine made up none.
	pauses := int((took - time.Second*time.Duration(st.names)/stormPace) / time.Second)
	madeUp := slices.DeleteFunc(slices.Clone(seen), func(q request) bool { return !strings.Contains(q.path, "/zz-") })
	if most := (registryLimit + passing) * (1 + max(pauses, 0)); len(madeUp) > most {
		t.Errorf("the registry was asked %d times in %v, want at most %d times for names that come up once", len(madeUp), took, most)
	}
	if worst > registryLimit+passing || float64(len(seen)) > registryLimit*(took.Seconds()+1) {
		t.Errorf("the registry was asked %d times in %v, %d times in one second; want at most %d a second", len(seen), took, worst, registryLimit)
	}
	if got := st.absent.Load() + st.busy.Load(); got != int64(st.names) || st.busy.Load() == 0 {
		t.Errorf("got %d answers of 404 and %d of 503, want some of 503 and nothing else for %d names", st.absent.Load(), st.busy.Load(), st.names)
	}
	if after := memoryOf(t, d); after > before+stormMemory {
		t.Errorf("the daemon uses %d KiB after the storm, %d before; want at most %d more", after, before, stormMemory)
	}
	if limit := 2*max(p99(idle), p99(control)) + noise99; p99(busy) > limit {
		t.Errorf("p99 of a known page in the storm: got %v, want less than %v", p99(busy), limit)
	}
	// A name that was turned away is told to be absent when the storm is over, and one
	// that is there by then is found.
	if url := web.url + "/my-app/zz-1/index.html"; !eventually(startLimit, func() bool { return fetch(t, url).status == http.StatusNotFound }) {
		t.Errorf("%s: never 404 after the storm", url)
	}
	s.publish(t, reg.host, "zz-0", "v1")
	waitFor(t, d.path("zz-0/v1/index.html"), s["index.html"])
}

// visitAgain looks at a page while it storms, as somebody does who is told to come
// back after a second, and gives how many visits it takes to see it.
func visitAgain(t *testing.T, url, path string) (visits int) {
	visitor := newLean(t, url)
	defer visitor.close()
	for end := time.Now().Add(startLimit); time.Now().Before(end); {
		time.Sleep(time.Second)
		visits++
		switch status, _ := visitor.get(path); status {
		case http.StatusOK:
			return visits
		case http.StatusServiceUnavailable:
		default:
			t.Errorf("%s, visit %d: got %d, want 503 or 200", path, visits, status)
			return visits
		}
	}
	t.Errorf("%s: never there", path)
	return visits
}

// TestAStormAtASlowRegistry: each question takes it a second, in which whoever waits
// serves nobody else, and nginx has two workers. Before long nobody waits any more.
func TestAStormAtASlowRegistry(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	s.publish(t, reg.host, "new", "v1")
	relay := startRelay(t, reg.host)
	relay.set(noCatalog)
	d := mount(t, relay.host, never)
	web := startNginx(t, d.dir)
	page := "/my-app/v1/index.html"
	fetchOK(t, web.url+page)
	relay.set(slow)
	// Fewer than what the registry is asked for: they are turned away by nobody.
	st := &storm{t: t, url: web.url, names: 80, pace: 20, forms: []string{"/zz-%d/v1/index.html", "/my-app/zz-%d/index.html"}}
	busy := st.during(func(done <-chan struct{}) []time.Duration {
		if !eventually(startLimit, func() bool { return st.busy.Load() > 0 }) {
			t.Error("everybody waits")
		}
		return probe(t, web.url, page, s["index.html"], done, time.Hour)
	})
	t.Logf("p99 of a known page: %v (%d requests); %d answers of 404, %d of 503", p99(busy), len(busy), st.absent.Load(), st.busy.Load())
	if p99(busy) > slowness/2 {
		t.Errorf("p99 of a known page: got %v, want far less than the %v of the registry", p99(busy), slowness)
	}
	// What nobody waits for is asked all the same.
	waitFor(t, d.path("new/v1/index.html"), s["index.html"])
}

// TestACatalogTellsInAStorm: a registry that lists its repositories makes 404s of
// all made up repositories, though it is asked for few.
func TestACatalogTellsInAStorm(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host)
	web := startNginx(t, d.dir)
	fetchOK(t, web.url+"/my-app/v1/index.html")
	mark := relay.mark()
	st := &storm{t: t, url: web.url, names: sized(3_000, 100_000), forms: []string{"/zz-%d/v1/index.html"}}
	st.run()
	if got := st.absent.Load(); got != int64(st.names) {
		t.Errorf("got %d answers of 404 and %d of 503, want %d of 404", got, st.busy.Load(), st.names)
	}
	if worst := mostInASecond(relay.since(mark, "")); worst > registryLimit+passing {
		t.Errorf("the registry was asked %d times in a second, want at most %d", worst, registryLimit)
	}
}

// TestAListOfTagsTellsInAStorm: so does one that lists its tags, of made up ones. Who
// comes for a tag that nobody looked at sees it the first time.
func TestAListOfTagsTellsInAStorm(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	s.publish(t, reg.host, "my-app", "new")
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host)
	web := startNginx(t, d.dir)
	fetchOK(t, web.url+"/my-app/v1/index.html")
	mark := relay.mark()
	st := &storm{t: t, url: web.url, names: sized(3*stormPace, 100_000), pace: stormPace, forms: []string{"/my-app/zz-%d/index.html"}}
	visitor := make(chan answer, 1)
	st.during(func(<-chan struct{}) []time.Duration {
		time.Sleep(time.Second)
		visitor <- fetch(t, web.url+"/my-app/new/index.html")
		return nil
	})
	if got := <-visitor; got.status != http.StatusOK || !bytes.Equal(got.body, s["index.html"]) {
		t.Errorf("the first visitor of a tag: got %d, want the page", got.status)
	}
	seen := relay.since(mark, "")
	t.Logf("%d answers of 404, %d of 503; the registry was asked %d times", st.absent.Load(), st.busy.Load(), len(seen))
	// Until the list is there nobody knows.
	if got := st.busy.Load(); got > stormPace {
		t.Errorf("got %d answers of 503 for %d names, want less than for a second of them", got, st.names)
	}
	if worst := mostInASecond(seen); worst > registryLimit+passing {
		t.Errorf("the registry was asked %d times in a second, want at most %d", worst, registryLimit)
	}
}

// storm asks for names that nobody has, each once.
type storm struct {
	t     testing.TB
	url   string
	names int
	pace  int      // of them in a second; 0 for as many as can be
	forms []string // of their paths, in turns

	absent, busy atomic.Int64 // answers
}

// during does something while the storm goes on, until done is closed.
func (s *storm) during(do func(done <-chan struct{}) []time.Duration) []time.Duration {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run()
	}()
	defer func() { <-done }()
	return do(done)
}

func (s *storm) run() {
	begin := time.Now()
	var next atomic.Int64
	var wait sync.WaitGroup
	for range stormClients {
		wait.Go(func() {
			client := newLean(s.t, s.url)
			defer client.close()
			for i := next.Add(1) - 1; i < int64(s.names); i = next.Add(1) - 1 {
				if s.pace > 0 {
					time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(s.pace))))
				}
				path := fmt.Sprintf(s.forms[i%int64(len(s.forms))], i)
				switch status, _ := client.get(path); status {
				case http.StatusNotFound:
					s.absent.Add(1)
				case http.StatusServiceUnavailable:
					s.busy.Add(1)
				default:
					s.t.Errorf("%s: got %d, want 404 or 503", path, status)
				}
			}
		})
	}
	wait.Wait()
}

// keepAlive is a client that keeps its connections, as browsers do.
type keepAlive struct {
	t    testing.TB
	http *http.Client
}

func newKeepAlive(t testing.TB, connections int) *keepAlive {
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &keepAlive{t, &http.Client{Transport: transport, Timeout: time.Minute}}
}

// get gives the status; the body goes to body unless that is nil.
func (k *keepAlive) get(url string, body *bytes.Buffer) int {
	resp, err := k.http.Get(url)
	if err != nil {
		k.t.Errorf("%s: %v", url, err)
		return 0
	}
	defer resp.Body.Close()
	to := io.Discard
	if body != nil {
		body.Reset()
		to = body
	}
	if _, err := io.Copy(to, resp.Body); err != nil {
		k.t.Errorf("%s: %v", url, err)
		return 0
	}
	return resp.StatusCode
}

// probe asks for a page until done is closed or the limit has passed, and gives
// how long each answer took.
func probe(t testing.TB, url, path string, want []byte, done <-chan struct{}, limit time.Duration) (times []time.Duration) {
	t.Helper()
	client := newLean(t, url)
	defer client.close()
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(time.Millisecond) {
		select {
		case <-done:
			return times
		default:
		}
		at := time.Now()
		status, body := client.get(path)
		times = append(times, time.Since(at))
		if status != http.StatusOK || !bytes.Equal(body, want) {
			t.Errorf("%s: got %d %.100q, want 200 %.100q", path, status, body, want)
		}
	}
	return times
}

func p99(times []time.Duration) time.Duration { return percentile(times, 99) }

func percentile(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	times = slices.Sorted(slices.Values(times))
	return times[len(times)*percent/100]
}

// mostInASecond is how many requests there were at most within a second.
func mostInASecond(requests []request) (most int) {
	first := 0
	for i, q := range requests {
		for q.at.Sub(requests[first].at) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// memoryOf is the daemon's resident memory in KiB.
func memoryOf(t testing.TB, d *daemon) int { return kibOf(t, d, "VmRSS") }

// mostMemoryOf is what memoryOf was at most since the daemon began.
func mostMemoryOf(t testing.TB, d *daemon) int { return kibOf(t, d, "VmHWM") }

func kibOf(t testing.TB, d *daemon, name string) (kib int) {
	t.Helper()
	if _, err := fmt.Sscanf(ofStatus(t, d, name), "%d kB", &kib); err != nil {
		t.Fatalf("the daemon's memory: %q", ofStatus(t, d, name))
	}
	return kib
}
