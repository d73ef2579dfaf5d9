package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/regfs/regfs/fs"
	"github.com/regfs/regfs/internal/cli"
	"github.com/regfs/regfs/registry"
)

// prefetchReaders is how many files are read at once: enough that the daemon's
// requests are never fewer than it makes at once for one layer.
const prefetchReaders = 8

// prefetch reads versions through a mount, so that they are in its cache.
type prefetch struct {
	point  string
	asJSON bool
}

// prefetched is what became of one reference.
type prefetched struct {
	Reference string `json:"reference"`
	Files     int64  `json:"files"`
	Bytes     int64  `json:"bytes"`
}

func prefetchCommand() *cobra.Command {
	p := &prefetch{}
	c := &cobra.Command{
		Use:   "prefetch REF...",
		Short: "Read versions through a mount, so that they are in its cache",
		Long: `Prefetch reads all files of versions through a mount, large ones too, so that
they are in its cache before anybody asks. REF is REPOSITORY:TAG or
REPOSITORY@DIGEST. To keep a version there, whatever else is read, mount with
--pin REPOSITORY:TAG.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return p.run(c.Context(), args, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&p.point, "mount", "", "the mountpoint (default the one that there is)")
	c.Flags().BoolVar(&p.asJSON, "json", false, "print it as JSON")
	return c
}

func (p *prefetch) run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	point, err := onlyMount(p.point)
	if err != nil {
		return err
	}
	var places []string
	for _, arg := range args {
		place, err := placeOf(arg)
		if err != nil {
			return err
		}
		places = append(places, place)
	}
	line := cli.NewProgress(stderr)
	for i, place := range places {
		r, err := readAll(ctx, filepath.Join(point, place), line)
		line.Clear()
		if err != nil {
			return fmt.Errorf("%s: %w", args[i], err)
		}
		r.Reference = place
		if err := p.print(stdout, r); err != nil {
			return err
		}
	}
	return nil
}

func (p *prefetch) print(w io.Writer, r prefetched) error {
	if p.asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	_, err := fmt.Fprintf(w, "%s\t%d files\t%s\n", r.Reference, r.Files, cli.Bytes(r.Bytes))
	return err
}

// placeOf is the path of a reference in a mount.
func placeOf(arg string) (string, error) {
	r, err := registry.ParseReference(arg)
	switch {
	case err != nil:
		return "", cli.WithCode(cli.ExitUsage, err)
	case r.Digest != "":
		return r.Repository + "@" + r.Digest.String(), nil
	case r.Tag != "":
		return r.Repository + ":" + r.Tag, nil
	}
	return "", cli.Usagef("%s: name a version, REPOSITORY:TAG or REPOSITORY@DIGEST", arg)
}

// onlyMount is the mountpoint that the user named, or the one that there is.
func onlyMount(point string) (string, error) {
	if point != "" {
		if state, err := fs.StateOf(point); err != nil || state != fs.Alive {
			return "", errors.Join(err, cli.WithCode(cli.ExitNotFound, fmt.Errorf("%s: not mounted: 'regfs mount %s' mounts it", point, point)))
		}
		return point, nil
	}
	points, err := fs.Mountpoints()
	switch {
	case err != nil:
		return "", err
	case len(points) == 0:
		return "", cli.WithCode(cli.ExitNotFound, errors.New("nothing is mounted: 'regfs mount MOUNTPOINT' mounts a registry"))
	case len(points) > 1:
		return "", cli.Usagef("there are several mounts, %q: name one with --mount", points)
	}
	return points[0], nil
}

// readAll reads every file below dir.
func readAll(ctx context.Context, dir string, line *cli.Progress) (prefetched, error) {
	var files, bytes atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(prefetchReaders)
	err := filepath.WalkDir(dir, func(path string, d iofs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		line.Draw(fmt.Sprintf("read %d files, %s", files.Load(), cli.Bytes(bytes.Load())))
		if d.Type().IsRegular() {
			group.Go(func() error {
				n, err := readFile(ctx, path)
				files.Add(1)
				bytes.Add(n)
				return err
			})
		}
		return nil
	})
	// A file that failed is why the walk was given up, not that it was.
	if failed := group.Wait(); failed != nil {
		err = failed
	}
	return prefetched{Files: files.Load(), Bytes: bytes.Load()}, err
}

func readFile(ctx context.Context, path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(io.Discard, untilDone{ctx, f})
}

// untilDone reads until the context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
