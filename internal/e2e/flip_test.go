package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	flipReaders = 1000 // over HTTP, each with a connection of its own
	flipListers = 4    // of folders, in the mount
	flipEvery   = 50 * time.Millisecond
	// flipPause is how long a reader waits at most between two answers: without
	// pauses a thousand leave the registry no time to move the tag.
	flipPause = time.Second
	// flipSeen is how long after the last flip everybody has to see it: a refresh
	// and a request, on a machine that is busy with a thousand readers.
	flipSeen = 30 * time.Second
)

// flipVersions is two versions whose files have the same names and sizes but for
// one folder, in which every name tells the version.
func flipVersions() (a, b site) {
	version := func(letter string, seed uint64) site {
		s := site{
			"index.html": []byte("<h1>" + strings.Repeat(letter, 100) + "</h1>\n"),
			"noise.bin":  noise(seed, 300<<10),
			"d/page.txt": bytes.Repeat([]byte(letter), 5000),
		}
		for i := range 150 { // more than one answer of a listing holds
			s[fmt.Sprintf("names/%s-%s-%03d", letter, strings.Repeat("x", 150), i)] = []byte(letter)
		}
		return s
	}
	return version("A", 1), version("B", 2)
}

// TestATagFlipsUnderAThousandReaders moves a tag to and fro between two versions
// every 50 ms. Every answer is exactly of one of the two, and so is every
// listing; after the last move everybody soon sees the last version.
func TestATagFlipsUnderAThousandReaders(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	a, b := flipVersions()
	a.publish(t, reg.host, "my-app", "a")
	b.publish(t, reg.host, "my-app", "b")
	reg.retag(t, "my-app", "a", "live")
	d := mount(t, reg.host, "--refresh=100ms")
	web := startNginx(t, d.dir)
	for _, tag := range []string{"a", "b"} { // so that what is measured is moving, not fetching
		for _, name := range []string{"index.html", "noise.bin", "d/page.txt"} {
			fetchOK(t, web.url+"/my-app/"+tag+"/"+name)
		}
	}

	f := &flipping{t: t, d: d, url: web.url + "/my-app/live/", a: a, b: b, last: make(chan struct{})}
	f.start()
	flips := f.run(reg, time.Duration(sized(10, 60))*time.Second)
	close(f.last)
	begin := time.Now()
	f.wait.Wait()
	t.Logf("%d flips under %d readers: %d answers, of A %d, of B %d; %d listings, of A %d; all saw the last version within %v",
		flips, flipReaders, f.answers[0].Load()+f.answers[1].Load(), f.answers[0].Load(), f.answers[1].Load(),
		f.listings[0].Load()+f.listings[1].Load(), f.listings[0].Load(), time.Since(begin))
	for i, version := range []string{"A", "B"} {
		if f.answers[i].Load() == 0 || f.listings[i].Load() == 0 {
			t.Errorf("nobody ever saw version %s: %d answers, %d listings", version, f.answers[i].Load(), f.listings[i].Load())
		}
	}
}

// flipping is the readers of a tag that moves.
type flipping struct {
	t    testing.TB
	d    *daemon
	url  string
	a, b site
	last chan struct{} // closed when the tag is at b for good
	wait sync.WaitGroup

	answers, listings [2]atomic.Int64 // of a and b
}

// run flips until the time is over, at last to b, and says how often it did.
func (f *flipping) run(reg *registry, length time.Duration) int {
	tick := time.NewTicker(flipEvery)
	defer tick.Stop()
	versions := []manifestBytes{reg.fetchManifest(f.t, "my-app", "b"), reg.fetchManifest(f.t, "my-app", "a")}
	begin, n := time.Now(), 0
	for ; time.Since(begin) < length || n%2 == 0; n++ {
		<-tick.C
		reg.putManifest(f.t, "my-app", "live", versions[n%2])
	}
	return n
}

func (f *flipping) start() {
	client := newKeepAlive(f.t, flipReaders)
	for i := range flipReaders {
		f.wait.Go(func() { f.read(client, i) })
	}
	for range flipListers {
		f.wait.Go(f.list)
	}
}

// over tells a reader whether it may stop: it has seen b after the last flip.
func (f *flipping) over(isB bool, since *time.Time) bool {
	select {
	case <-f.last:
	default:
		return false
	}
	if since.IsZero() {
		*since = time.Now()
		return false // what was just read may be from before
	}
	if !isB && time.Since(*since) > flipSeen {
		f.t.Errorf("a reader does not see the last version after %v", flipSeen)
		return true
	}
	return isB
}

func (f *flipping) read(client *keepAlive, seed int) {
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	names := []string{"index.html", "d/page.txt", "noise.bin"}
	var body bytes.Buffer
	var since time.Time
	for {
		name := names[max(0, random.IntN(20)-17)] // the large one now and then
		status := client.get(f.url+name, &body)
		isA, isB := bytes.Equal(body.Bytes(), f.a[name]), bytes.Equal(body.Bytes(), f.b[name])
		if status != http.StatusOK || !isA && !isB {
			f.t.Errorf("%s: got %d and %d bytes of neither version: %.60q", name, status, body.Len(), body.Bytes())
			return
		}
		f.answers[index(isB)].Add(1)
		if f.over(isB, &since) {
			return
		}
		time.Sleep(time.Duration(random.Int64N(int64(flipPause))))
	}
}

func index(isB bool) int {
	if isB {
		return 1
	}
	return 0
}

func (f *flipping) list() {
	var since time.Time
	for {
		names, err := namesIn(f.d.path("my-app/live/names"))
		if err != nil {
			f.t.Error(err)
			return
		}
		ofA := len(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n[0] != 'A' }))
		if len(names) != 150 || ofA != 0 && ofA != len(names) {
			f.t.Errorf("a listing of %d names, %d of them of one version; want 150 of one", len(names), ofA)
			return
		}
		time.Sleep(10 * time.Millisecond)
		f.listings[index(ofA == 0)].Add(1)
		if f.over(ofA == 0, &since) {
			return
		}
	}
}

// namesIn lists a folder in several steps, as programs do.
func namesIn(dir string) ([]string, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	var names []string
	for {
		some, err := folder.Readdirnames(20)
		names = append(names, some...)
		if err == io.EOF {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
