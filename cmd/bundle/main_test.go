package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bundle": main})
}

// TestScripts runs the command as users do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			return nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"digest": digestIs,
		},
	})
}

// exits CODE PROGRAM ARG... runs the program and compares its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got := strconv.Itoa(code); got != args[0] {
		ts.Fatalf("%q: got exit code %s, want %s\n%s", args[1:], got, args[0], ts.ReadFile("stderr"))
	}
}

// digest LAYOUT checks that standard output is one line, the digest of the
// index that LAYOUT names.
func digestIs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: digest LAYOUT")
	}
	var index struct{ Manifests []struct{ Digest string } }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0]+"/index.json")), &index))
	if len(index.Manifests) != 1 {
		ts.Fatalf("got %d manifests in %s, want 1", len(index.Manifests), args[0])
	}
	if got, want := ts.ReadFile("stdout"), index.Manifests[0].Digest+"\n"; got != want {
		ts.Fatalf("got %q on standard output, want %q", got, want)
	}
}

func TestCreatedTime(t *testing.T) {
	for _, c := range []struct {
		flag, epoch, want string // want "" is the zero time, "!" an error
	}{
		{"", "", ""},
		{"2024-02-03T04:05:06Z", "", "2024-02-03T04:05:06Z"},
		{"2024-02-03T05:05:06+01:00", "7", "2024-02-03T04:05:06Z"},
		{"", "86400", "1970-01-02T00:00:00Z"},
		{"", "0", "1970-01-01T00:00:00Z"},
		{"yesterday", "", "!"},
		{"", "soon", "!"},
		{"", "-1", "!"},
		{"", "9223372036854775807", "!"},
	} {
		got, err := createdTime(c.flag, c.epoch)
		switch {
		case c.want == "!":
			if err == nil {
				t.Errorf("%q, %q: got %v, want an error", c.flag, c.epoch, got)
			}
		case err != nil:
			t.Errorf("%q, %q: %v", c.flag, c.epoch, err)
		case c.want == "" && !got.IsZero(), c.want != "" && got.UTC().Format(time.RFC3339) != c.want:
			t.Errorf("%q, %q: got %v, want %q", c.flag, c.epoch, got, c.want)
		}
	}
}
