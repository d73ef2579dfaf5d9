package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
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
// while somebody asks for names that do not exist, each another; beside idle, beside
// a folder on ext4 at which as many are made up, and beside names that cannot be,
// of which nobody is asked. Who asks is a process of its own, and stands for machines
// elsewhere: it is measured too when it gives way to the servers, as those would.
func (b *bench) storm() error {
	d, server, err := b.serve()
	if err != nil {
		return err
	}
	defer d.stop()
	ext4, err := b.ext4()
	if err != nil {
		return err
	}
	page := "/" + b.docs.name + "/v1/" + b.docs.files[0].path
	made := 0 // names: each is another
	slowest := func(server, name string, nice int) func() (float64, error) {
		return func() (float64, error) {
			return b.slowestWhile(server, page, &made, stormed{form: "/" + b.docs.name + "/" + name + "/index.html", nice: nice})
		}
	}
	idle := func() (float64, error) { return b.slowestVisit(server, page) }
	if _, err := idle(); err != nil { // so that all is here
		return err
	}
	const unknown, impossible = "zz-%d", "-zz-%d"
	for _, row := range []struct {
		what  string
		nice  int
		limit func() (float64, error)
		aim   float64
	}{
		{fmt.Sprintf("slowest 1 %% of answers, one page, while %d unknown names a second are asked for, beside idle", stormRate), 0, idle, 2},
		{"the same, beside ext4, at which as many are asked for", 0, slowest(ext4, unknown, 0), 0},
		{"the same, beside as many names that cannot be", 0, slowest(server, impossible, 0), 0},
		{"the same, beside idle, by somebody who gives way to the servers (nice), as if on another machine", giveWay, idle, 2},
		{"that, beside ext4", giveWay, slowest(ext4, unknown, giveWay), 0},
	} {
		before, first := b.served.requests.Load(), made
		p, err := b.alternate(slowest(server, unknown, row.nice), row.limit)
		if err != nil {
			return err
		}
		b.table.moment("F2", row.what, p, row.aim,
			fmt.Sprintf("after the first second; %d requests to the registry for %d names", b.served.requests.Load()-before, made-first))
	}
	return nil
}

// giveWay is the nice value of who gives way to all others.
const giveWay = 19

// stormed is how somebody makes up names.
type stormed struct {
	form string // of their paths, with a %d
	nice int
}

// slowestWhile is the time, in seconds, within which all but one in a hundred answers
// came while it stormed. So many names were made up before.
func (b *bench) slowestWhile(server, page string, made *int, s stormed) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	var said, wrong bytes.Buffer
	c := exec.CommandContext(b.ctx, "nice", "-n", strconv.Itoa(s.nice), self, "-storm", s.form, "-server", server, "-first", strconv.Itoa(*made))
	c.Stdout, c.Stderr = &said, &wrong
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	end, err := c.StdinPipe()
	if err != nil {
		return 0, err
	}
	if err := c.Start(); err != nil {
		return 0, err
	}
	time.Sleep(stormLead)
	took, err := b.slowestVisit(server, page)
	_ = end.Close()
	if ended := c.Wait(); ended != nil {
		return 0, fmt.Errorf("making up names: %w: %.300s", ended, wrong.String())
	}
	if _, scan := fmt.Sscan(said.String(), made); scan != nil {
		return 0, fmt.Errorf("making up names: got %q, want their number", said.String())
	}
	return took, err
}

// makeUpNames asks for names, each another, until stdin ends; it then says how many
// there were, first included.
func makeUpNames(server, form string, first int) error {
	var over atomic.Bool
	var made atomic.Int64
	var clients errgroup.Group
	begin := time.Now()
	for range stormClients {
		clients.Go(func() error {
			c := visitor{host: strings.TrimPrefix(server, "http://")}
			defer c.leave()
			for !over.Load() {
				i := made.Add(1)
				time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / stormRate)))
				status, err := c.get(fmt.Sprintf(form, int64(first)+i))
				if err == nil && status != http.StatusNotFound && status != http.StatusServiceUnavailable {
					err = fmt.Errorf("a name that does not exist: got %d", status)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	over.Store(true)
	if err := errors.Join(err, clients.Wait()); err != nil {
		return err
	}
	_, err = fmt.Println(int64(first) + made.Load())
	return err
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
