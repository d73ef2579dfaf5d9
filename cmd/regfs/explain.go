package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/regfs/regfs/fs"
	"github.com/regfs/regfs/internal/cli"
	"github.com/regfs/regfs/internal/namespace"
	"github.com/regfs/regfs/internal/site"
)

// explainWait is more than a lookup may take.
const explainWait = 10 * time.Second

// maxExplanation bounds the answer, in bytes.
const maxExplanation = 1 << 20

func explainCommand() *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "explain PATH",
		Short: "Tell of one path in a mount: version, layer, here or not, why it failed",
		Long: `Explain tells what the daemon knows of a path in its mount: the version that it
is in and when the registry last confirmed it, the layer that holds a file, how
much of it is in the cache, what fetching it cost, and why it cannot be read.
It asks the daemon's own address (see --listen of regfs mount).`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return explain(c.Context(), args[0], asJSON, c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return c
}

func explain(ctx context.Context, path string, asJSON bool, stdout io.Writer) error {
	point, below, err := mountOf(path)
	if err != nil {
		return err
	}
	data, err := askDaemon(ctx, point, below)
	if err != nil {
		return err
	}
	var x namespace.Explanation
	if err := json.Unmarshal(data, &x); err != nil {
		return fmt.Errorf("%s: the daemon's answer: %w", point, err)
	}
	if asJSON {
		_, err = stdout.Write(data)
	} else {
		err = printExplanation(stdout, path, x)
	}
	switch {
	case err != nil:
		return err
	case x.Is == site.IsMissing:
		return cli.WithCode(cli.ExitNotFound, fmt.Errorf("%s: %s", path, x.Reason))
	case x.Reason != "" || x.Problem != "":
		return cli.WithCode(cli.ExitPartial, fmt.Errorf("%s: %s", path, x.Reason+x.Problem))
	}
	return nil
}

// mountOf finds the mount that a path is in, and the path below it. The path
// itself is not looked at: it may not be there, or take long.
func mountOf(path string) (point, below string, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return "", "", err
	}
	points, err := fs.Mountpoints()
	if err != nil {
		return "", "", err
	}
	for _, p := range points {
		if rest, ok := strings.CutPrefix(path+"/", p+"/"); ok && len(p) > len(point) {
			point, below = p, strings.TrimSuffix(rest, "/")
		}
	}
	if point == "" {
		return "", "", cli.WithCode(cli.ExitNotFound, fmt.Errorf("%s is in no mount of regfs: the mounts are %q", path, points))
	}
	return point, below, nil
}

// askDaemon asks the daemon of a mount about a path below it.
func askDaemon(ctx context.Context, point, below string) ([]byte, error) {
	data, err := readStatus(filepath.Join(point, ".regfs", "status.json"))
	if err != nil {
		return nil, fmt.Errorf("%s: the daemon does not say how it is: %w", point, err)
	}
	var s statusDocument
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", point, err)
	}
	if s.Listen == "" {
		return nil, fmt.Errorf("%s: its daemon has no address of its own to be asked at: mount with --listen", point)
	}
	ctx, cancel := context.WithTimeout(ctx, explainWait)
	defer cancel()
	u := url.URL{Scheme: "http", Host: s.Listen, Path: "/explain", RawQuery: url.Values{"path": {below}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	// Not through a proxy: the daemon is near, whatever the environment says.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	defer res.Body.Close()
	if data, err = io.ReadAll(io.LimitReader(res.Body, maxExplanation)); err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(data)))
	}
	return data, err
}

// explanations answers for one path.
func explanations(live *namespace.Live) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(live.Explain(r.Context(), r.URL.Query().Get("path"))) // who asked may have gone
	})
}

func printExplanation(out io.Writer, path string, x namespace.Explanation) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t"+format+"\n", append([]any{name}, args...)...)
	}
	line("path", "%s", path)
	line("is", "%s", x.Is)
	if x.Name != "" {
		line("version", "%s, %s", x.Name, x.Site)
	}
	if x.Index != "" {
		line("in the registry", "%s", x.Index)
		checked := "not since the start"
		if x.Checked != nil {
			checked = time.Since(*x.Checked).Round(time.Second).String() + " ago"
		}
		line("confirmed", "%s", checked)
	}
	if x.Target != "" {
		line("leads to", "%s", x.Target)
	}
	if x.Is == site.IsFile {
		explainFile(line, x)
	}
	for name, text := range map[string]string{"problem": x.Problem, "warning": x.Warning} {
		if text != "" {
			line(name, "%s", text)
		}
	}
	if x.Reason != "" {
		line("reason", "%s", x.Reason)
	}
	return w.Flush()
}

func explainFile(line func(name, format string, args ...any), x namespace.Explanation) {
	line("size", "%d bytes", x.Size)
	if x.Content != "" {
		line("content", "%s", x.Content)
	}
	if x.Layer != "" {
		line("layer", "%s", x.Layer)
	}
	line("in the cache", "%d of %d chunks", x.Local, x.Chunks)
	if c := x.Cost; c != nil {
		line("fetched", "%s, %s in %s", c.When.Format(time.RFC3339), cli.Bytes(c.Bytes), c.Took.Round(time.Microsecond))
	}
}
