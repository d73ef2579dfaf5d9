package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// stormRate is how many names are made up in a second, over stormClients
	// connections: faster, and it is the processors that visitors wait for.
	stormRate    = 2000
	stormClients = 16
	// stormLead is how long it storms before visitors are looked at: the first names
	// are waited for.
	stormLead = time.Second
)

// storm makes F2: how long the slowest hundredth of the answers of one page takes
// while somebody asks for names that do not exist, each another; beside idle, and
// beside names that cannot be, which take the same processors and nobody is asked for.
func (b *bench) storm() error {
	d, err := b.mount(b.served.host)
	if err != nil {
		return err
	}
	defer d.stop()
	server, err := b.nginx(d.dir)
	if err != nil {
		return err
	}
	page := "/" + b.docs.name + "/v1/" + b.docs.files[0].path
	var made atomic.Int64 // names: each is another
	slowest := func(form string) func() (float64, error) {
		return func() (float64, error) { return b.slowestWhile(server, page, form, &made) }
	}
	unknown, none, impossible := slowest("/"+b.docs.name+"/zz-%d/index.html"), slowest(""), slowest("/"+b.docs.name+"/-zz-%d/index.html")
	if _, err := none(); err != nil { // so that all is here
		return err
	}
	before := b.served.requests.Load()
	p, err := b.alternate(unknown, none)
	if err != nil {
		return err
	}
	b.table.moment("F2", fmt.Sprintf("slowest 1 %% of answers, one page, while %d unknown names a second are asked for, beside idle", stormRate), p, 2,
		fmt.Sprintf("after the first second; %d requests to the registry for %d names in %d storms", b.served.requests.Load()-before, made.Load(), len(p.ours)))
	if p, err = b.alternate(unknown, impossible); err == nil {
		b.table.moment("F2", "the same, beside as many names that cannot be", p, 0, "")
	}
	return err
}

// slowestWhile is the time, in seconds, within which all but one in a hundred answers
// came while it stormed, with names of a form; "" for no storm. So many names were
// made before.
func (b *bench) slowestWhile(server, page, form string, made *atomic.Int64) (float64, error) {
	var over atomic.Bool
	var clients sync.WaitGroup
	failed := make(chan error, stormClients)
	begin, first := time.Now(), made.Load()
	for range stormClients {
		if form == "" {
			break
		}
		clients.Go(func() {
			c := visitor{host: strings.TrimPrefix(server, "http://")}
			defer c.leave()
			for !over.Load() {
				i := made.Add(1)
				time.Sleep(time.Until(begin.Add(time.Duration(i-first) * time.Second / stormRate)))
				status, err := c.get(fmt.Sprintf(form, i))
				if err == nil && status != http.StatusNotFound && status != http.StatusServiceUnavailable {
					err = fmt.Errorf("a name that does not exist: got %d", status)
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	time.Sleep(stormLead)
	took, err := b.slowestVisit(server, page)
	over.Store(true)
	clients.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return took, err
	}
}

// slowestVisit asks for a page once a millisecond, for as long as a run of wrk, and gives the
// slowest hundredth of the answers, in seconds.
func (b *bench) slowestVisit(server, page string) (float64, error) {
	v := visitor{host: strings.TrimPrefix(server, "http://")}
	defer v.leave()
	var times []time.Duration
	for begin := time.Now(); time.Since(begin) < b.load; time.Sleep(time.Millisecond) {
		at := time.Now()
		status, err := v.get(page)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s: got %d", page, status)
		}
		if err != nil {
			return 0, err
		}
		times = append(times, time.Since(at))
	}
	slices.Sort(times)
	return times[len(times)*99/100].Seconds(), b.ctx.Err()
}

// visitor is a client that takes little time for itself: one connection, and one
// request after the other.
type visitor struct {
	host string
	conn net.Conn // nil until it is needed
	in   *bufio.Reader
}

func (v *visitor) leave() {
	if v.conn != nil {
		_ = v.conn.Close()
		v.conn = nil
	}
}

func (v *visitor) get(path string) (status int, err error) {
	if v.conn == nil {
		if v.conn, err = net.DialTimeout("tcp", v.host, startLimit); err != nil { //nolint:noctx // loopback
			v.conn = nil
			return 0, err
		}
		v.in = bufio.NewReader(v.conn)
	}
	if _, err := fmt.Fprintf(v.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, v.host); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(v.in, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(io.Discard, resp.Body); resp.Close {
		v.leave()
	}
	return resp.StatusCode, err
}
