package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/regfs/regfs/internal/bundle"
	"github.com/regfs/regfs/registry"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"regfs": main})
}

// TestScripts runs the command as users do. $REGISTRY is a registry, $CLOSED
// one that lets nobody in.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               setUp,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"publish": publish,
		},
	})
}

// setUp gives a script its registries and nobody's credentials.
func setUp(e *testscript.Env) error {
	open := httptest.NewServer(ggcr.New(ggcr.Logger(slog.NewLogLogger(slog.DiscardHandler, 0))))
	closed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	e.Defer(open.Close)
	e.Defer(closed.Close)
	e.Setenv("REGISTRY", open.Listener.Addr().String())
	e.Setenv("CLOSED", closed.Listener.Addr().String())
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("DOCKER_CONFIG", e.WorkDir)
	return nil
}

// publish FOLDER REPOSITORY TAG packs a folder and pushes it to $REGISTRY; the
// digest is in $DIGEST then.
func publish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: publish FOLDER REPOSITORY TAG")
	}
	out, err := os.MkdirTemp(ts.Getenv("WORK"), "images")
	ts.Check(err)
	result, err := bundle.Write(context.Background(), bundle.Options{
		Version: args[2], Dir: ts.MkAbs(args[0]), Out: filepath.Join(out, "images"), Format: bundle.FormatDual,
	})
	ts.Check(err)
	client, err := registry.New(ts.Getenv("REGISTRY"))
	ts.Check(err)
	defer client.CloseIdle()
	pushed, err := client.Push(context.Background(), result.Path, args[1], args[2], registry.PushOptions{})
	ts.Check(err)
	ts.Setenv("DIGEST", pushed.Digest.String())
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
