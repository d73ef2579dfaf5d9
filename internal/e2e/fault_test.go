package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// want is what becomes of a read while something is wrong: the right bytes, or
// an errno; after how many requests at most.
type want struct {
	errno syscall.Errno // 0: the right bytes
	most  int           // requests that the fault matches
}

func right(most int) *want { return &want{0, most} }
func eio(most int) *want   { return &want{syscall.EIO, most} }
func eacces(most int) *want {
	return &want{syscall.EACCES, most}
}

// faultRow is one thing that goes wrong, and the right answer to it at each of
// the moments at which it can: while a tag is resolved, at the first bytes of a
// file, in the middle of a file, and where a small layer is read whole. A moment
// that is nil cannot be spoilt this way.
type faultRow struct {
	name                            string
	spoil                           fault
	times                           int // 0: always
	resolving, first, middle, whole *want
	apart                           bool // each moment has a daemon of its own: what was learned at one is remembered
}

// forAll is a row that has the same answer at all moments.
func forAll(name string, spoil fault, times int, w *want) faultRow {
	return faultRow{name, spoil, times, w, w, w, w, false}
}

// forBlobs is a row that has the same answer wherever blobs are read.
func forBlobs(name string, spoil fault, times int, resolving, w *want) faultRow {
	return faultRow{name, spoil, times, resolving, w, w, w, false}
}

// forRanges is a row for registries that do ranges badly: what can be read is
// read whole.
func forRanges(name string, spoil fault, most int) faultRow {
	return faultRow{name, onlyRanges(spoil), 0, nil, right(most), right(most), nil, true}
}

// tries is how often a request is sent at most.
const tries = 3

var quickFaults = []faultRow{
	forAll("reset once", drop, 1, right(2)),
	forAll("reset always", drop, 0, eio(tries+1)), // net/http itself repeats what it sent on an old connection
	forAll("503 once", status(503), 1, right(2)),
	forAll("500 twice", status(500), 2, right(3)),
	forAll("502 always", status(502), 0, eio(tries)),
	forAll("501", status(501), 0, eio(2)), // for blobs it may be about ranges
	forAll("403", status(403), 0, eacces(1)),
	forAll("401 without a challenge", status(401), 0, eacces(2)),
	forAll("418", status(418), 0, eio(1)),
	forAll("204", status(204), 0, eio(1)),
	forAll("429 once, then in a second", status(429, "Retry-After", "1"), 1, right(2)),
	forBlobs("a page to log in", says("<html>please log in</html>"), 0, eio(1), eio(1)),
	forBlobs("404", status(404), 0, &want{syscall.ENOENT, 1}, eio(1)), // what a manifest names has to be there
	forAll("cut once", cut(2), 1, right(2)),
	forAll("cut at the first byte", cut(1<<30), 1, right(2)),
	forAll("cut always", cut(1<<30), 0, eio(tries)),
	forBlobs("ended too early once", altered(false, short), 1, eio(1), right(2)),
	forBlobs("one bit flipped", altered(true, flipped), 0, eio(1), eio(tries)),
	{"longer than it is", altered(false, long), 0, eio(1), right(1), right(1), right(1), false},
	forRanges("ranges ignored", altered(true, func(*reply) {}, "Range"), 1),
	forRanges("ranges ignored, length unknown", altered(false, func(*reply) {}, "Range"), 1),
	forRanges("416", status(416), 2),
	forRanges("400 for ranges", status(400), 2),
	forRanges("multipart", altered(true, multipart), 3),
	forRanges("another start", altered(true, ranged("bytes 7%d-%d/%d")), 3),
	forRanges("another end", altered(true, ranged("bytes %d-1%d/%d")), 3),
	forRanges("another total", altered(true, ranged("bytes %d-%d/1%d")), 3),
	forRanges("no range said", altered(true, ranged("")), 3),
	forRanges("announced short", altered(true, short), 3),
	forRanges("announced long", altered(true, long), 3),
	forAll("a signed address that has expired", expired, 2, right(3)), // the redirect, the refusal, the next redirect
	forAll("signed addresses that have all expired", expired, 0, eio(4)),
	forAll("the storage lacks it", storage(http.StatusNotFound, "NoSuchKey"), 0, eio(2)),
	forAll("redirected in circles", redirect("?again=1"), 0, eio(6)),
	forAll("redirected to a metadata service", redirect("http://169.254.169.254/latest/meta-data/?sig="+canarySignature), 0, eio(1)),
	forAll("redirected to a file", redirect("file:///etc/passwd"), 0, eio(1)),
	forAll("redirected to nobody", redirect("http://127.0.0.1:1/?sig="+canarySignature), 0, eio(1)),
	forAll("redirected with a password", redirect("http://me:"+canaryPassword+"@127.0.0.1:1/"), 0, eio(1)),
	forAll("redirected to nonsense", redirect("http://[::1/?sig="+canarySignature), 0, eio(1)),
}

// faultWorld is what the rows are tried on.
type faultWorld struct {
	reg                 *registry
	early, large, small site // of the repositories first, middle, whole: no file of one is in another
	layers              map[string]string
}

// part is the length of what a large file holds behind its first chunk of 4 MiB.
const part = 100 << 10

func newFaultWorld(t testing.TB) *faultWorld {
	t.Helper()
	w := &faultWorld{reg: startRegistry(t), layers: map[string]string{}}
	// Above the size up to which a layer is read whole: so that ranges are used.
	w.large = manyFiles(5, 4<<20+part)
	w.small = manyFiles(1, 1<<20)
	w.early = site{}
	for i, name := range w.large.names() {
		w.early[name] = noise(uint64(100+i), 4<<20+part)
	}
	w.early.publish(t, w.reg.host, "first", "v1")
	w.large.publish(t, w.reg.host, "middle", "v1")
	w.small.publish(t, w.reg.host, "whole", "v1")
	for _, repo := range []string{"first", "middle", "whole"} {
		w.layers[repo] = w.reg.layer(t, repo, "v1").Digest
	}
	return w
}

// TestEveryFaultHasItsAnswer tries each fault at each moment, and reads the same
// when the fault is over: nothing of it may stay.
func TestEveryFaultHasItsAnswer(t *testing.T) {
	once(t)
	w := newFaultWorld(t)
	var rows sync.WaitGroup // some at the same time: in many there is a pause
	defer rows.Wait()
	slots := make(chan struct{}, 10)
	for _, row := range quickFaults {
		slots <- struct{}{}
		rows.Go(func() {
			defer func() { <-slots }()
			t.Run(row.name, func(t *testing.T) { w.tryApart(t, row) })
		})
	}
}

// tryApart tries a row, with a daemon for each moment if it wants that.
func (w *faultWorld) tryApart(t *testing.T, row faultRow) {
	if row.apart {
		other := row
		row.first, other.middle = nil, nil
		w.try(t, other)
	}
	w.try(t, row)
}

// try goes through the moments of a row with a daemon of its own.
func (w *faultWorld) try(t *testing.T, row faultRow) {
	proxy := startFaultProxy(t, w.reg.host)
	d := mount(t, proxy.host(), never)
	file := w.largeFile()
	if row.resolving != nil {
		row.check(t, proxy, "resolving", row.resolving, manifestOf("v1"), stating(d.path("first/v1")), nil)
	}
	for _, repo := range []string{"first", "middle", "whole"} {
		waitForStat(t, d.path(repo, "v1"))
	}
	if row.first != nil {
		row.check(t, proxy, "first bytes", row.first, blobOf(w.layers["first"]), reading(d.path("first/v1", file), 0, 64), w.early[file][:64])
	}
	if row.middle != nil {
		w.readBeginning(t, d)
		row.check(t, proxy, "in the middle", row.middle.twice(), blobOf(w.layers["middle"]), w.readingEnd(d), w.large[file][4<<20:])
	}
	if row.whole != nil {
		file := w.small.names()[0]
		row.check(t, proxy, "a small layer", row.whole, blobOf(w.layers["whole"]), reading(d.path("whole/v1", file), 0, 1<<20), w.small[file])
	}
}

// twice is what the kernel makes of a read that fails: it reads ahead, and asks
// once more for the page that somebody wants.
func (w *want) twice() *want {
	if w.errno == 0 {
		return w
	}
	return &want{w.errno, 2 * w.most}
}

// largeFile is the file of the large sites that is read.
func (w *faultWorld) largeFile() string { return w.large.names()[2] }

// readBeginning makes the first chunk of a large file local.
func (w *faultWorld) readBeginning(t testing.TB, d *daemon) {
	t.Helper()
	file := w.largeFile()
	waitForStat(t, d.path("middle/v1"))
	got, err := reading(d.path("middle/v1", file), 0, 64)()
	if err != nil || !bytes.Equal(got, w.large[file][:64]) {
		t.Fatalf("the beginning of a file, without a fault: got %d bytes, %v", len(got), err)
	}
}

// readingEnd reads what is behind the first chunk of that file.
func (w *faultWorld) readingEnd(d *daemon) func() ([]byte, error) {
	return reading(d.path("middle/v1", w.largeFile()), 4<<20, part)
}

// stating asks for a name.
func stating(path string) func() ([]byte, error) {
	return func() ([]byte, error) {
		_, err := os.Stat(path)
		return nil, err
	}
}

// check does something while a fault is there, and again when it is over.
func (row faultRow) check(t *testing.T, p *faultProxy, moment string, w *want, match func(*http.Request) bool, do func() ([]byte, error), bytesOf []byte) {
	t.Helper()
	r := p.spoil(match, row.times, row.spoil)
	began := time.Now()
	got, err := do()
	took := time.Since(began)
	requests := len(p.seen(r))
	p.heal()
	var errno syscall.Errno
	switch {
	case w.errno == 0 && (err != nil || !bytes.Equal(got, bytesOf)):
		t.Errorf("%s: got %d bytes, %v, want the right %d", moment, len(got), err, len(bytesOf))
	case w.errno != 0 && (!errors.As(err, &errno) || errno != w.errno):
		t.Errorf("%s: got %d bytes, %v, want %v", moment, len(got), err, w.errno)
	}
	if requests < 1 || requests > w.most {
		t.Errorf("%s: got %d requests, want 1 to %d", moment, requests, w.most)
	}
	if took > startLimit {
		t.Errorf("%s: took %v", moment, took)
	}
	t.Logf("%s: %d requests, %v", moment, requests, took.Round(time.Millisecond))
	if !eventually(startLimit, func() bool { got, err = do(); return err == nil && bytes.Equal(got, bytesOf) }) {
		t.Fatalf("%s: when it was over: got %d bytes, %v, want the right %d", moment, len(got), err, len(bytesOf))
	}
}

// reading reads size bytes of a file at off.
func reading(path string, off int64, size int) func() ([]byte, error) {
	return func() ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		buf := make([]byte, size)
		n, err := f.ReadAt(buf, off)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return buf[:n], err
	}
}

// waitForStat waits until path is there.
func waitForStat(t testing.TB, path string) {
	t.Helper()
	var err error
	if !eventually(startLimit, func() bool { _, err = os.Stat(path); return err == nil }) {
		t.Fatal(err)
	}
}

// TestACrowdTriesAgainAsOne: however many wait for the same bytes, the registry
// that fails twice is asked three times.
func TestACrowdTriesAgainAsOne(t *testing.T) {
	reg := startRegistry(t)
	s := manyFiles(1, 1<<20)
	s.publish(t, reg.host, "my-app", "v1")
	file := s.names()[0]
	proxy := startFaultProxy(t, reg.host)
	d := mount(t, proxy.host(), never)
	waitForStat(t, d.path("my-app/v1"))
	r := proxy.spoil(blobOf(reg.layer(t, "my-app", "v1").Digest), 2, status(http.StatusServiceUnavailable))
	var crowd sync.WaitGroup
	for range 40 {
		crowd.Go(func() {
			got, err := reading(d.path("my-app/v1", file), 0, 1<<20)()
			if err != nil || !bytes.Equal(got, s[file]) {
				t.Errorf("got %d bytes, %v, want the right %d", len(got), err, len(s[file]))
			}
		})
	}
	crowd.Wait()
	if got := len(proxy.seen(r)); got != tries {
		t.Errorf("got %d requests, want %d", got, tries)
	}
}

// TestALayerThatIsLostTakesNoOtherWithIt: its readers come again and again, and those
// of other sites, and of other versions of this one, are asked for what is theirs all
// the same.
func TestALayerThatIsLostTakesNoOtherWithIt(t *testing.T) {
	reg := startRegistry(t)
	const size = 1 << 20 // large enough that files are asked for one by one
	publish := func(repo, tag string, seed uint64) site {
		s := site{}
		for i := range 20 {
			s[fmt.Sprintf("%02d.bin", i)] = noise(seed+uint64(i), size) // no file of one is in another
		}
		s.publish(t, reg.host, repo, tag)
		return s
	}
	lost, next, good := publish("lost", "v1", 100), publish("lost", "v2", 200), publish("good", "v1", 300)
	proxy := startFaultProxy(t, reg.host)
	for name, fault := range map[string]fault{
		"gone from the storage": storage(http.StatusNotFound, "NoSuchKey"),
		"500":                   status(http.StatusInternalServerError),
	} {
		t.Run(name, func(t *testing.T) {
			d := mount(t, proxy.host(), never)
			for _, version := range []string{"lost/v1", "lost/v2", "good/v1"} {
				waitForStat(t, d.path(version))
			}
			proxy.spoil(blobOf(reg.layer(t, "lost", "v1").Digest), 0, fault)
			defer proxy.heal()
			for i, name := range good.names()[:4] {
				for _, other := range lost.names()[4*i : 4*i+4] {
					if _, err := reading(d.path("lost/v1", other), 0, 64)(); !errors.Is(err, syscall.EIO) {
						t.Fatalf("%s of the layer that is lost: got %v, want EIO", other, err)
					}
				}
				for version, s := range map[string]site{"lost/v2": next, "good/v1": good} {
					if got, err := reading(d.path(version, name), 0, size)(); err != nil || !bytes.Equal(got, s[name]) {
						t.Errorf("%s/%s: got %d bytes, %v, want the right %d", version, name, len(got), err, size)
					}
				}
			}
		})
	}
}
