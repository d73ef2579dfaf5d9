package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/regfs/regfs/internal/cli"
	"github.com/regfs/regfs/internal/compare"
	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/registry"
)

func diffCommand() *cobra.Command {
	host, asJSON := registry.DefaultHost, false
	var access cli.RegistryFlags
	c := &cobra.Command{
		Use:   "diff REF REF",
		Short: "Tell which files differ between two versions",
		Long: `Diff tells which files were added (+), removed (-) and changed (~) from the
first version to the second, and what a visitor who has the first fetches again.
It needs no mount, and of layers with a table of contents it reads only that.

REF is [http://|https://][HOST[:PORT]/]REPOSITORY:TAG or …REPOSITORY@DIGEST.
Exit codes: 0 whether or not they differ, 4 no such version, 5 not allowed,
6 the registry cannot be reached.`,
		Example: "  regfs diff my-app:v1 my-app:v2\n  regfs diff registry.example.org/docs:latest registry.example.org/docs:next --json",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			opts, err := access.Options(warnInsecure)
			if err != nil {
				return err
			}
			return diff(c.Context(), host, opts, args, asJSON, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&host, "registry", host, "host[:port] of the registry of a REF that names none; http://… forces plain HTTP")
	access.Add(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return c
}

// side is one of the two versions.
type side struct {
	ref     registry.Reference
	version site.Version
}

func diff(ctx context.Context, host string, opts []registry.Option, args []string, asJSON bool, stdout, stderr io.Writer) error {
	var sides [2]side
	for i, arg := range args {
		ref, err := parseVersion(host, arg)
		if err != nil {
			return err
		}
		sides[i].ref = ref
	}
	if err := readSides(ctx, opts, &sides); err != nil {
		return err
	}
	for _, s := range sides {
		if s.version.Warning != "" {
			fmt.Fprintf(stderr, "%s: %s\n", s.ref, s.version.Warning)
		}
	}
	d := compare.Document{
		Version: compare.DocumentVersion, From: sides[0].document(), To: sides[1].document(),
		Result: compare.Trees(sides[0].version.Tree, sides[1].version.Tree, compare.All),
	}
	if asJSON {
		e := json.NewEncoder(stdout)
		e.SetEscapeHTML(false)
		return e.Encode(d)
	}
	return printDiff(stdout, d)
}

// parseVersion reads a REF.
func parseVersion(host, arg string) (registry.Reference, error) {
	ref, err := registry.ParseReferenceAt(host, arg)
	switch {
	case err != nil:
		return ref, cli.WithCode(cli.ExitUsage, err)
	case ref.Tag == "" && ref.Digest == "":
		return ref, cli.Usagef("%s names no version: write %s:TAG or %s@sha256:…", arg, arg, arg)
	}
	return ref, nil
}

// readSides reads both versions at once, with one client where they are of one
// registry.
func readSides(ctx context.Context, opts []registry.Option, sides *[2]side) error {
	clients := map[string]*registry.Client{}
	group, ctx := errgroup.WithContext(ctx)
	for i := range sides {
		s := &sides[i]
		client := clients[s.ref.Host]
		if client == nil {
			var err error
			if client, err = registry.New(s.ref.Host, opts...); err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			defer client.CloseIdle()
			clients[s.ref.Host] = client
		}
		group.Go(func() (err error) {
			s.version, err = site.ReadVersion(ctx, client, s.ref.Repository, s.reference())
			return err
		})
	}
	return group.Wait()
}

// reference is what the registry is asked for: a digest says more than a tag.
func (s *side) reference() string {
	if s.ref.Digest != "" {
		return s.ref.Digest.String()
	}
	return s.ref.Tag
}

func (s *side) document() compare.Side {
	return compare.Side{Reference: s.ref.String(), Manifest: s.version.Manifest.String()}
}

var signs = map[compare.Kind]string{compare.Added: "+", compare.Removed: "-", compare.Changed: "~"}

// printDiff prints a line for each file, then what it comes to.
func printDiff(out io.Writer, d compare.Document) error {
	w := bufio.NewWriter(out)
	for _, c := range d.Changes {
		size, grown := c.To, ""
		switch c.Kind {
		case compare.Removed:
			size = c.From
		case compare.Changed:
			grown = fmt.Sprintf("  (%+d B)", c.To-c.From)
		}
		fmt.Fprintf(w, "%s %9s  %s%s\n", signs[c.Kind], cli.Bytes(size), printable(c.Path), grown)
	}
	t := d.Totals
	if len(d.Changes) == 0 {
		fmt.Fprintf(w, "nothing differs in %s\n", count(t.Same))
		return w.Flush()
	}
	fmt.Fprintf(w, "\n%s added, %s removed, %s changed, %s the same\n", count(t.Added), count(t.Removed), count(t.Changed), count(t.Same))
	fmt.Fprintf(w, "a visitor who has the first fetches %s for the second, and a mount %s of the registry\n",
		count(t.Visitor), cli.Bytes(t.Transfer))
	return w.Flush()
}

func count(c compare.Count) string {
	files := "files"
	if c.Files == 1 {
		files = "file"
	}
	return fmt.Sprintf("%d %s (%s)", c.Files, files, cli.Bytes(c.Bytes))
}

// printable is a path as it is, or quoted if it could be taken for something
// else or do something to a terminal.
func printable(path string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }
	if strings.ContainsFunc(path, odd) || strings.HasPrefix(path, `"`) || strings.TrimSpace(path) != path {
		return strconv.Quote(path)
	}
	return path
}
