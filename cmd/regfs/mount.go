package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regfs/regfs/internal/cli"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

// minRefresh keeps a registry from being asked without pause.
const minRefresh = 100 * time.Millisecond

// minCache is the smallest content store that is of use, in bytes: room for
// some of the largest chunks.
const minCache = 64 << 20

// leastIndex and mostIndex bound --max-index, in bytes: ten thousand files, and
// what the numbers of a tree can count.
const (
	leastIndex = 1 << 20
	mostIndex  = 2 << 30
)

// mountFlags are the flags of regfs mount.
type mountFlags struct {
	registry   string
	mirrors    []string
	access     cli.RegistryFlags
	cache      string
	cacheSize  cli.Size
	repos      []string
	refresh    time.Duration
	keepAssets time.Duration
	allowOther bool
	noIndex    bool
	listen     string
	secret     string // file with the secret of notifications
	pins       []string
	platform   string
	maxIndex   cli.Size
}

func mountCommand() *cobra.Command {
	f := mountFlags{cacheSize: 10 << 30, maxIndex: tree.MaxIndex}
	c := &cobra.Command{
		Use:   "mount MOUNTPOINT",
		Short: "Serve a registry as a folder, until SIGINT or SIGTERM",
		Long: `Mount shows every tag of every repository of a registry as the folder
MOUNTPOINT/<repository>/<tag>/, and serves it until SIGINT or SIGTERM; then it
unmounts. It says on stderr when it is ready. The file .regfs/ready is there
while it serves.

What was read once is kept, verified, in the cache, and served from there also
while the registry is away.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return mount(c.Context(), args[0], f, c.ErrOrStderr())
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.registry, "registry", "localhost:5000", "host[:port] of the registry; http://… forces plain HTTP")
	flags.StringSliceVar(&f.mirrors, "mirror", nil, "host[:port][/prefix] of a mirror, asked for content before the registry (repeatable)")
	f.access.Add(flags)
	flags.StringVar(&f.cache, "cache", defaultCache(), "folder for what was read")
	flags.Var(&f.cacheSize, "cache-size", "how much the cache may hold")
	flags.StringSliceVar(&f.repos, "repo", nil, "show only this repository, or those that match a pattern such as 'team/*' (repeatable)")
	flags.DurationVar(&f.refresh, "refresh", 10*time.Second, "how old the answer to what a tag names may get")
	flags.BoolVar(&f.noIndex, "no-index", false, "show no page that lists all sites")
	flags.DurationVar(&f.keepAssets, "keep-assets", 0, "for how long files such as app-3f9a1c2b.js are still found when a tag has moved to a version without them")
	flags.BoolVar(&f.allowOther, "allow-other", os.Geteuid() == 0, "let other users read (as root the default)")
	flags.StringVar(&f.listen, "listen", defaultListen, "host:port of the daemon's own address, with /metrics, /healthz and /readyz; \"\" for none")
	flags.StringVar(&f.secret, "notify-secret-file", "", "take notifications of pushes from registries that show the secret in this file, at POST /notify")
	flags.StringSliceVar(&f.pins, "pin", nil, "keep all of REPOSITORY:TAG local, large files too (repeatable)")
	flags.StringVar(&f.platform, "platform", "", "OS/ARCHITECTURE[/VARIANT] of the image to show of several (default: Linux on this machine's)")
	flags.Var(&f.maxIndex, "max-index", "how much memory reading the names of one version may take; the usual is half a million files")
	return c
}

// pinned are the tags that --pin names.
func (f *mountFlags) pinned() ([]registry.Reference, error) {
	var refs []registry.Reference
	for _, p := range f.pins {
		r, err := registry.ParseReference(p)
		if err != nil {
			return nil, cli.Usagef("--pin: %w", err)
		}
		if r.Tag == "" || r.Digest != "" {
			return nil, cli.Usagef("--pin %s: name a tag, REPOSITORY:TAG", p)
		}
		refs = append(refs, r)
	}
	return refs, nil
}

// defaultCache is where programs of this user keep what can be had again.
func defaultCache() string {
	if os.Geteuid() == 0 {
		return "/var/cache/regfs"
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "regfs")
}

func (f *mountFlags) check(point string) error {
	switch {
	case f.refresh < minRefresh:
		return cli.Usagef("--refresh %s: at least %s", f.refresh, minRefresh)
	case f.keepAssets < 0:
		return cli.Usagef("--keep-assets %s: at least 0", f.keepAssets)
	case f.cacheSize < minCache:
		return cli.Usagef("--cache-size %s: at least %s", f.cacheSize.String(), new(cli.Size(minCache)).String())
	case f.maxIndex < leastIndex || f.maxIndex > mostIndex:
		return cli.Usagef("--max-index %s: at least %s, and at most %s", f.maxIndex.String(), new(cli.Size(leastIndex)).String(), new(cli.Size(mostIndex)).String())
	case f.secret != "" && f.listen == "":
		return cli.Usagef("--notify-secret-file: notifications come to the address that --listen names, which is none")
	case inside(f.cache, point):
		return cli.Usagef("--cache %s lies inside the mountpoint %s: the file system would read itself", f.cache, point)
	}
	return nil
}

// inside tells whether path is dir or below it.
func inside(path, dir string) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return false
	}
	return path == dir || strings.HasPrefix(path, dir+"/")
}

func warnInsecure(text string) { slog.Warn(text, "event", "insecure") }

// client is who speaks with the registry and its mirrors.
func (f *mountFlags) client(more ...registry.Option) (*registry.Client, error) {
	opts, err := f.access.Options(warnInsecure)
	if err != nil {
		return nil, err
	}
	client, err := registry.New(f.registry, append(append(opts, more...), registry.WithMirrors(f.mirrors...))...)
	if err != nil {
		return nil, cli.WithCode(cli.ExitUsage, err)
	}
	return client, nil
}
