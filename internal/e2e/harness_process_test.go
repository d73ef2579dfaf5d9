package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// startLimit is how long a server may take until it answers; a machine that
	// runs all tests at once under the race detector needs seconds.
	startLimit = 30 * time.Second
	// stopLimit is how long a server may take to end after SIGTERM.
	stopLimit = 20 * time.Second
	// runLimit bounds a command that is expected to end by itself.
	runLimit = 3 * time.Minute
)

// need skips the test unless all programs are installed, or fails it where
// everything has to run.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			unable(t, "%s is not installed", p)
		}
	}
}

// unable ends a test that this machine cannot run.
func unable(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("REGFS_TEST_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// newDir makes a folder that other users may enter and that goes with the test.
func newDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "t")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() {
		if left := mountsBelow(dir); len(left) > 0 {
			t.Errorf("still mounted at the end of the test: %q", left)
			return
		}
		must(t, os.RemoveAll(dir))
	})
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// process is a server that a test started.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	log  string // file with its stdout and stderr
	done chan struct{}
}

// start starts a server that ends, at the latest, with the test. A test that
// failed shows what it wrote.
func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, log: filepath.Join(newDir(t), filepath.Base(cmd.Path)+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	must(t, err)
	defer log.Close()
	// A file, not a pipe: a pipe that a grandchild holds keeps Wait from ending.
	cmd.Stdout, cmd.Stderr = log, log
	// When the tests themselves are killed, their servers end too, cleanly.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	must(t, cmd.Start())
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // ProcessState has what is asked for later.
	}()
	t.Cleanup(p.end)
	return p
}

// end stops the process if it still runs, and shows its log after a failure.
func (p *process) end() {
	if p.running() {
		p.stop()
	}
	text, err := os.ReadFile(p.log)
	must(p.t, err)
	written.look(p.cmd.Path, p.cmd.Args[1:], text)
	if p.t.Failed() {
		p.t.Logf("%q wrote:\n%s", p.cmd.Args, p.tail())
	}
}

// tail is the last of what the process wrote, as much as a reader can use.
func (p *process) tail() []byte {
	text, err := os.ReadFile(p.log)
	must(p.t, err)
	return text[max(0, len(text)-4<<10):]
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop asks the process to end and gives its exit code; one that does not end
// fails the test and is killed.
func (p *process) stop() int {
	p.t.Helper()
	return p.signal(syscall.SIGTERM)
}

// kill ends the process as a crash would.
func (p *process) kill() { p.signal(syscall.SIGKILL) }

// signal sends s, waits for the end and gives the exit code, -1 after a signal.
func (p *process) signal(s syscall.Signal) int {
	p.t.Helper()
	if !p.ends(s) {
		p.t.Errorf("%q did not end within %v after %v", p.cmd.Args, stopLimit, s)
		if !p.ends(syscall.SIGKILL) {
			p.t.Fatalf("%q does not even end after SIGKILL", p.cmd.Args)
		}
	}
	return p.cmd.ProcessState.ExitCode()
}

// ends sends s and says whether the process then ends in time.
func (p *process) ends(s syscall.Signal) bool {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	select {
	case <-p.done:
		return true
	case <-time.After(stopLimit):
		return false
	}
}

// wait waits until ready says true; a process that ends before, or takes too
// long, fails the test.
func (p *process) wait(ready func() bool) {
	p.t.Helper()
	ok := eventually(startLimit, func() bool { return !p.running() || ready() })
	if !ok || !p.running() {
		p.t.Fatalf("%q was not ready within %v (still runs: %v)", p.cmd.Args, startLimit, p.running())
	}
}

// result is what a command that ended by itself left.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a command to its end in the folder dir.
func run(t testing.TB, dir string, name string, args ...string) result {
	t.Helper()
	return runEnv(t, dir, nil, name, args...)
}

// runEnv is run with more environment.
func runEnv(t testing.TB, dir string, env []string, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second // do not wait for grandchildren that hold the pipes
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%q did not end within %v\n%s", cmd.Args, runLimit, stderr.String())
	}
	written.look(cmd.Path, args, stdout.Bytes())
	written.look(cmd.Path, args, stderr.Bytes())
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// succeed runs a command that has to end well and gives its stdout.
func succeed(t testing.TB, dir string, name string, args ...string) string {
	t.Helper()
	r := run(t, dir, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %q: exit code %d\n%s%s", name, args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// command is the path of one of the built commands.
func command(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(bin, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// contains is whether the command wrote text.
func contains(r result, text string) bool {
	return strings.Contains(r.stdout+r.stderr, text)
}
