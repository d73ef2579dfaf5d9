package e2e

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// root is the project's folder, seen from the package's.
const root = "../.."

var (
	scratch string // everything the tests write, and every mount, is below it
	bin     string // folder of the built commands
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// runAll runs the tests in a folder of their own and looks at what they left.
func runAll(m *testing.M) (code int, err error) {
	// What loses its parent becomes ours: a worker that outlives its server is
	// seen, not lost to init.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 1, err
	}
	// Where servers are, also in the path of a user who became root by sudo.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		return 1, err
	}
	if scratch, err = os.MkdirTemp("", "regfs-e2e-"); err != nil {
		return 1, err
	}
	defer func() {
		if len(mountsBelow(scratch)) == 0 { // or removing would walk into a mount
			err = errors.Join(err, os.RemoveAll(scratch))
		}
	}()
	// nginx's workers are another user and walk to the mount from here.
	if err := os.Chmod(scratch, 0o755); err != nil {
		return 1, err
	}
	bin = filepath.Join(scratch, "bin")
	if err := build(bin, underRace); err != nil {
		return 1, err
	}
	before := descriptors()
	code = m.Run()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return code, leftovers(before)
}

// once ends a test that is long by nature where the tests run again, under the
// race detector or on one processor: the plain run has it.
func once(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("once: the plain run has it")
	}
}

// build builds the commands into the folder out, which it makes.
func build(out string, race bool) error {
	args := []string{"build", "-C", root, "-o", out + "/"}
	env := "CGO_ENABLED=0"
	if race {
		args, env = append(args, "-race"), "CGO_ENABLED=1"
	}
	cmd := exec.Command("go", append(args, "./cmd/...")...)
	cmd.Env = append(os.Environ(), env)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the commands: %w\n%s", err, text)
	}
	return nil
}

// leftovers says what the tests left behind: mounts, secrets in what our
// commands wrote, processes, descriptors, goroutines. What is still ending gets a moment.
func leftovers(before map[string]string) error {
	checks := map[string]func() []string{
		"mounts":           func() []string { return mountsBelow(scratch) },
		"secrets written":  written.leaks,
		"processes":        children,
		"open descriptors": func() []string { return newDescriptors(before) },
	}
	for what, check := range checks {
		var left []string
		if !eventually(5*time.Second, func() bool { left = check(); return len(left) == 0 }) {
			return fmt.Errorf("%s left over:\n%s", what, strings.Join(left, "\n"))
		}
	}
	return goleak.Find()
}

// eventually asks cond until it holds, at most for the given time, and says
// whether it did.
func eventually(limit time.Duration, cond func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if cond() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// mountsBelow lists the mountpoints at dir or below it, as this process's
// namespace has them.
func mountsBelow(dir string) []string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		// Fifth field: the mountpoint. Source: proc_pid_mountinfo(5).
		if f := strings.Fields(line); len(f) > 4 && (f[4] == dir || strings.HasPrefix(f[4], dir+"/")) {
			found = append(found, f[4])
		}
	}
	return found
}

// children lists the processes whose parent we are, after reaping those that
// have ended: orphans that became ours have nobody else who waits for them.
func children() []string {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != nil || pid <= 0 {
			break
		}
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var found []string
	for _, stat := range stats {
		text, _ := os.ReadFile(stat)
		// pid (name) state parent; the name may hold anything, also ")".
		s := string(text)
		after := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
		if len(after) > 1 && after[1] == fmt.Sprint(os.Getpid()) {
			found = append(found, s[:strings.LastIndexByte(s, ')')+1])
		}
	}
	return found
}

// descriptors maps our open descriptors to what they are.
func descriptors() map[string]string {
	links, _ := filepath.Glob("/proc/self/fd/*")
	open := make(map[string]string, len(links))
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			open[link] = target
		}
	}
	return open
}

// newDescriptors lists descriptors that were not open before. The runtime opens
// its epoll and event descriptors at the first network use and keeps them.
func newDescriptors(before map[string]string) []string {
	var found []string
	for fd, target := range descriptors() {
		if _, ok := before[fd]; !ok && !strings.HasPrefix(target, "anon_inode:[event") {
			found = append(found, fd+" -> "+target)
		}
	}
	return found
}
