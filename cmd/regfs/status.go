package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/regfs/regfs/fs"
	"github.com/regfs/regfs/internal/cli"
	"github.com/regfs/regfs/internal/namespace"
)

// statusWait is how long a daemon may take to say how it is.
const statusWait = 5 * time.Second

func statusCommand() *cobra.Command {
	asJSON, web := false, cli.Web(cli.DefaultWeb)
	c := &cobra.Command{
		Use:   "status MOUNTPOINT",
		Short: "Tell what is served, and how well",
		Long: `Status tells whether a mount is healthy, degraded, or not there, and what it
serves. Exit codes: 0 healthy, 3 degraded, 4 not mounted.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return status(args[0], asJSON, web, c.OutOrStdout())
		},
	}
	c.Flags().Var(&web, "web", "where a web server serves the mount, to tell the versions' addresses there")
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return c
}

func status(point string, asJSON bool, web cli.Web, stdout io.Writer) error {
	state, err := fs.StateOf(point)
	switch {
	case err != nil:
		return err
	case state == fs.NotMounted:
		return cli.WithCode(cli.ExitNotFound, fmt.Errorf("%s: not mounted: 'regfs mount %s' mounts it", point, point))
	case state == fs.Hung:
		return fmt.Errorf("%s: the daemon does not answer: 'regfs unmount %s' frees whoever waits for it", point, point)
	case state == fs.Dead:
		return cli.WithCode(cli.ExitNotFound, fmt.Errorf("%s: not mounted: its daemon is gone; 'regfs mount %s' replaces it", point, point))
	}
	data, err := readStatus(filepath.Join(point, ".regfs", "status.json"))
	if err != nil {
		return fmt.Errorf("%s: the daemon does not say how it is: %w", point, err)
	}
	var s namespace.Status
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("%s: %w", point, err)
	}
	if asJSON {
		_, err = stdout.Write(data)
	} else {
		err = printStatus(stdout, point, web, s)
	}
	if err == nil && !s.Healthy {
		err = cli.WithCode(cli.ExitPartial, fmt.Errorf("%s: degraded: %s", point, s.Problem))
	}
	return err
}

// readStatus does not wait for ever for a daemon that hangs.
func readStatus(path string) (data []byte, err error) {
	done := make(chan struct{})
	go func() {
		data, err = os.ReadFile(path)
		close(done)
	}()
	select {
	case <-done:
		return data, err
	case <-time.After(statusWait):
		return nil, errors.New("no answer")
	}
}

func printStatus(out io.Writer, point string, web cli.Web, s namespace.Status) error {
	state := "healthy"
	if !s.Healthy {
		state = "degraded"
	}
	held, limit := cli.Size(s.Cache.Bytes), cli.Size(s.Cache.Limit)
	fmt.Fprintf(out, "%s\t%s\nregistry\t%s\n", point, state, s.Registry)
	for _, m := range s.Mirrors {
		fmt.Fprintf(out, "mirror\t%s%s\n", m.Host, map[bool]string{false: "\tnot asked: " + m.Failed}[m.Usable])
	}
	fmt.Fprintf(out, "cache\t%s of %s in %d files\n\n", held.String(), limit.String(), s.Cache.Files)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REPOSITORY\tTAG\tDIGEST\tFILES\tCHECKED\tADDRESS\tPROBLEM")
	for _, t := range s.Tags {
		checked := "not yet"
		if t.Checked != nil {
			checked = time.Since(*t.Checked).Round(time.Second).String() + " ago"
		}
		address, _ := web.Addresses(t.Repository, t.Tag)
		fmt.Fprintf(w, "%s\t%s\t%.19s\t%d\t%s\t%s\t%s\n", t.Repository, t.Tag, t.Digest, t.Files, checked, address, t.Problem+t.Warning)
	}
	return w.Flush()
}
