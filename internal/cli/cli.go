// Package cli is what the commands share: how they start and end, exit codes,
// flags from the environment, progress on a terminal.
//
// It knows what kinds of errors there are and which exit code each has. It
// knows nothing of what the commands do.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regfs/regfs/registry"
)

// Exit codes, a contract with scripts.
const (
	ExitOK          = 0
	ExitOther       = 1
	ExitUsage       = 2
	ExitPartial     = 3 // some of what was asked was done, or it was done with less than all
	ExitNotFound    = 4
	ExitNotAllowed  = 5
	ExitUnavailable = 6 // the registry cannot be reached
	ExitMismatch    = 7 // content that does not match its digest
	ExitCannotMount = 8
)

// envPrefix begins the environment variable of every flag: --cache-size is
// REGFS_CACHE_SIZE.
const envPrefix = "REGFS_"

// codeError is an error with the exit code that it asks for.
type codeError struct {
	error
	code int
}

func (e codeError) Unwrap() error { return e.error }

// WithCode gives err the exit code that the command ends with.
func WithCode(code int, err error) error { return codeError{err, code} }

// Usagef is an error in how the command was called.
func Usagef(format string, args ...any) error {
	return WithCode(ExitUsage, fmt.Errorf(format, args...))
}

// Code is the exit code for err.
func Code(err error) int {
	var c codeError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, registry.ErrMismatch):
		return ExitMismatch
	case errors.Is(err, registry.ErrUnavailable):
		return ExitUnavailable
	case errors.Is(err, fs.ErrNotExist):
		return ExitNotFound
	case errors.Is(err, fs.ErrPermission):
		return ExitNotAllowed
	}
	return ExitOther
}

// Main runs cmd with the process's arguments until it ends or a signal ends
// it, and exits.
func Main(cmd *cobra.Command) {
	os.Exit(Run(cmd, os.Args[1:], os.Stdout, os.Stderr))
}

// Run runs cmd with args and returns its exit code. SIGINT and SIGTERM cancel
// the command's context; a command that then ends with the context's error
// exits with 128 and the signal's number, one that ends well with 0.
func Run(cmd *cobra.Command, args []string, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case s := <-signals:
			cancel(signalError{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()

	prepare(cmd)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	ran, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	var s signalError
	if errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &s) {
		fmt.Fprintf(stderr, "%s: ended by a signal (%v)\n", ran.CommandPath(), s.signal)
		return 128 + int(s.signal)
	}
	fmt.Fprintf(stderr, "%s: %v\n", ran.CommandPath(), err)
	code := Code(err)
	if code == ExitUsage {
		fmt.Fprintf(stderr, "Usage: %s\nTry '%s --help'.\n", ran.UseLine(), ran.CommandPath())
	}
	return code
}

// signalError is why the context of a command was cancelled.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return e.signal.String() }

// prepare makes cmd and its subcommands print errors our way and take flags
// from the environment.
func prepare(cmd *cobra.Command) {
	cmd.SilenceErrors = true
	cmd.SilenceUsage = true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return WithCode(ExitUsage, err) })
	if args := cmd.Args; args != nil {
		cmd.Args = func(c *cobra.Command, a []string) error {
			if err := args(c, a); err != nil {
				return WithCode(ExitUsage, err)
			}
			return fromEnvironment(c)
		}
	}
	for _, sub := range cmd.Commands() {
		prepare(sub)
	}
}

// fromEnvironment sets the flags that the command line left alone from
// REGFS_<FLAG>. Those that only ask for information are for the command line:
// REGFS_VERSION is rather somebody's own variable.
func fromEnvironment(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if !ok || f.Changed || err != nil || f.Name == "help" || f.Name == "version" {
			return
		}
		if e := cmd.Flags().Set(f.Name, value); e != nil {
			err = Usagef("%s=%q: %w", name, value, e)
		}
	})
	return err
}
