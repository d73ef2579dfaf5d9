package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAnExpiredTokenIsReplacedOnce lets tokens expire before each moment, whatever
// the service says of how long they are good: no clock is believed. Nobody sees an
// error, and one token is bought in place of the old one.
func TestAnExpiredTokenIsReplacedOnce(t *testing.T) {
	w := newFaultWorld(t)
	day := 24 * time.Hour
	var rows sync.WaitGroup
	defer rows.Wait()
	for name, says := range map[string]string{
		"expires at once":      `"expires_in": 0`,
		"expired before":       `"expires_in": -60`,
		"lasts for ever":       `"expires_in": 1000000000000`,
		"was issued yesterday": fmt.Sprintf(`"expires_in": 60, "issued_at": %q`, time.Now().Add(-day).UTC().Format(time.RFC3339)),
		"is issued tomorrow":   fmt.Sprintf(`"expires_in": 60, "issued_at": %q`, time.Now().Add(day).UTC().Format(time.RFC3339)),
		"has no sense of time": `"expires_in": "soon", "issued_at": 5`,
	} {
		g := startGate(t, w.reg.host, 1<<30)
		g.says = says
		config := newDir(t)
		logIn(t, config, g.host(), canaryPassword)
		t.Setenv("DOCKER_CONFIG", config) // which the daemon reads at its start
		d := mount(t, g.host(), never)
		waitForStat(t, d.path("whole/v1")) // now it has read it
		rows.Go(func() { t.Run(name, func(t *testing.T) { w.tryExpiry(t, g, d) }) })
	}
}

// tryExpiry goes through the moments with a token that has just expired.
func (w *faultWorld) tryExpiry(t *testing.T, g *gate, d *daemon) {
	web := startNginx(t, d.dir)
	file := w.largeFile()
	moment := func(name, repo string, do func()) {
		t.Helper()
		scope := "repository:" + repo + ":pull"
		g.expire()
		before := g.soldOf(scope)
		do()
		if got := g.soldOf(scope) - before; got != 1 {
			t.Errorf("%s: got %d tokens for %s, want 1", name, got, scope)
		}
	}
	moment("resolving", "first", func() {
		if _, err := stating(d.path("first/v1"))(); err != nil {
			t.Errorf("resolving: %v", err)
		}
	})
	moment("first bytes", "first", func() {
		a := fetch(t, web.url+"/first/v1/"+file, "Range", "bytes=0-63")
		if a.status != http.StatusPartialContent || !bytes.Equal(a.body, w.early[file][:64]) {
			t.Errorf("first bytes through nginx: got %d with %d bytes, want 206 and the right 64", a.status, len(a.body))
		}
	})
	w.readBeginning(t, d)
	moment("in the middle", "middle", func() {
		got, err := w.readingEnd(d)()
		if err != nil || !bytes.Equal(got, w.large[file][4<<20:]) {
			t.Errorf("in the middle: got %d bytes, %v, want the right %d", len(got), err, part)
		}
	})
	moment("a crowd", "middle", func() { w.readAllEnds(t, d) })
}

// readAllEnds reads the ends of all other large files at the same time.
func (w *faultWorld) readAllEnds(t *testing.T, d *daemon) {
	var readers sync.WaitGroup
	defer readers.Wait()
	for _, name := range w.large.names() {
		if name == w.largeFile() {
			continue
		}
		readers.Go(func() {
			got, err := reading(d.path("middle/v1", name), 4<<20, part)()
			if err != nil || !bytes.Equal(got, w.large[name][4<<20:]) {
				t.Errorf("%s: got %d bytes, %v, want the right %d", name, len(got), err, part)
			}
		})
	}
}

// TestTokensOfASecondCostNoReader reads, for longer than a second, what is not here
// (the cache holds half of the site, and each file comes round again) through a
// registry whose tokens live for one: no read fails, and a token is bought when one
// has expired, however many requests need it.
func TestTokensOfASecondCostNoReader(t *testing.T) {
	once(t)
	reg := startRegistry(t)
	s := manyFiles(120, 1<<20+1<<16) // above what is fetched before it is read
	s.publish(t, reg.host, "my-app", "v1")
	g := startGate(t, reg.host, 1<<30)
	g.lives, g.says = time.Second, `"expires_in": 1`
	config := newDir(t)
	t.Setenv("DOCKER_CONFIG", config)
	logIn(t, config, g.host(), canaryPassword)
	d := mount(t, g.host(), quick, "--cache-size=64MiB")
	waitForStat(t, d.path("my-app/v1"))

	const readers = 4
	var reads atomic.Int64
	var wait sync.WaitGroup
	begin, names := time.Now(), s.names()
	for first := range readers {
		wait.Go(func() {
			for i := first; time.Since(begin) < time.Duration(sized(12, 60))*time.Second; i += readers {
				name := names[i%len(names)]
				if got, err := readAnew(d.path("my-app/v1", name)); err != nil || !bytes.Equal(got, s[name]) {
					t.Errorf("%s: got %d bytes, %v, want the right %d", name, len(got), err, len(s[name]))
				}
				reads.Add(1)
				time.Sleep(150 * time.Millisecond) // what else runs here has processors too
			}
		})
	}
	wait.Wait()
	took, sold := time.Since(begin), g.soldOf("repository:my-app:pull")
	g.mu.Lock()
	defer g.mu.Unlock()
	t.Logf("%d reads in %v: %d requests with a good token, %d with one that had expired, %d tokens for the repository, %d in all",
		reads.Load(), took.Round(time.Millisecond), g.admitted, g.refused, sold, g.sold)
	if most := int(took/g.lives) + 3; sold > most {
		t.Errorf("got %d tokens in %v, want at most %d", sold, took, most)
	}
	if least := int(took / g.lives / 4); sold < least || g.admitted < 2*sold {
		t.Errorf("got %d tokens for %d requests, want at least %d that expired, each for several", sold, g.admitted, least)
	}
}

// readAnew reads a file of the mount, and has the kernel forget its bytes.
func readAnew(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	return got, errors.Join(err, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// soldOf is how many tokens were sold for a scope.
func (g *gate) soldOf(scope string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.soldFor[scope]
}
