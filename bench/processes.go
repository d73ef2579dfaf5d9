package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startLimit = 30 * time.Second // for a server to answer
	stopLimit  = 20 * time.Second // for a server to end after SIGTERM
	runLimit   = 10 * time.Minute // for any other command
)

// process is a server that the bench started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// start starts a server and waits until it is ready.
func (b *bench) start(ready func() bool, name string, args ...string) (*process, error) {
	p := &process{exec.Command(name, args...), make(chan struct{})}
	log, err := os.OpenFile(filepath.Join(b.temp, filepath.Base(name)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // that it ended is all that counts
	}()
	b.ends = append(b.ends, p.stop)
	for limit := time.Now().Add(startLimit); !ready(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) || b.ctx.Err() != nil {
			return nil, fmt.Errorf("%s did not start: see %s", name, log.Name())
		}
	}
	return p, nil
}

// stop ends the process, by force when it does not end by itself.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // may have ended
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// command runs a command to its end and gives its stdout.
func (b *bench) command(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(b.ctx, runLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(b.temp, "home"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %.300s", filepath.Base(name), err, stderr.String())
	}
	return stdout.String(), nil
}

// shell runs a line of bash; its arguments are $1, $2, ….
func (b *bench) shell(line string, args ...string) (string, error) {
	return b.command("bash", append([]string{"-o", "pipefail", "-ec", line, "bash"}, args...)...)
}

// seconds is how long a piece of work takes.
func seconds(work func() error) (float64, error) {
	begin := time.Now()
	err := work()
	return time.Since(begin).Seconds(), err
}

// clear empties the folder of this run, also after one that was killed.
func (b *bench) clear() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if point := strings.Fields(line)[1]; strings.HasPrefix(point, b.temp+"/") {
			_ = unix.Unmount(point, unix.MNT_DETACH) // RemoveAll says it if it is still there
		}
	}
	if err := os.RemoveAll(b.temp); err != nil {
		return err
	}
	return os.MkdirAll(b.temp, 0o755)
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // takes no time
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// answers tells whether a server answers at url, whatever it says.
func (b *bench) answers(url string) bool {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	return err == nil && resp.Body.Close() == nil
}
