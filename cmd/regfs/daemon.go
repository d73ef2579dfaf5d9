package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/regfs/regfs/fs"
	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/cli"
	"github.com/regfs/regfs/internal/front"
	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/metrics"
	"github.com/regfs/regfs/internal/namespace"
	"github.com/regfs/regfs/internal/web"
	"github.com/regfs/regfs/registry"
)

// daemon is a mount with all that it is made of, in the order in which it comes
// to be.
type daemon struct {
	flags    mountFlags
	counts   *metrics.Metrics
	registry *registry.Client
	store    *cache.Store
	live     *namespace.Live
	own      *web.Server // the daemon's own address
	files    *fs.FS
	front    *front.Front // nil with --no-index
	mounted  atomic.Bool
}

// mount serves until ctx ends or somebody unmounts.
func mount(ctx context.Context, point string, f mountFlags, stderr io.Writer) error {
	if err := f.check(point); err != nil {
		return err
	}
	d := &daemon{flags: f, counts: metrics.New(version())}
	if err := d.open(ctx); err != nil {
		return err
	}
	defer d.close()
	if err := takeNotifications(d.own, f.secret, d.news); err != nil {
		return err
	}
	if err := listen(ctx, d.own, f.listen); err != nil {
		return err
	}
	defer d.own.Close()
	return d.serve(ctx, point, stderr)
}

// open makes all parts but the mount itself.
func (d *daemon) open(ctx context.Context) error {
	pinned, err := d.flags.pinned()
	if err != nil {
		return err
	}
	platform, err := manifest.ParsePlatform(d.flags.platform)
	if err != nil {
		return cli.Usagef("--%w", err)
	}
	if d.registry, err = d.flags.client(registry.WithObserver(d.counts)); err != nil {
		return err
	}
	if d.store, err = openStore(d.flags.cache, int64(d.flags.cacheSize)); err != nil {
		return err
	}
	d.live = namespace.Open(namespace.Options{
		Registry: d.registry, Store: d.store, Refresh: d.flags.refresh, KeepAssets: d.flags.keepAssets,
		Repositories: d.flags.repos, Pinned: pinned, Platform: platform, MaxIndex: int64(d.flags.maxIndex),
	})
	waitListed(ctx, d.live)
	d.own = d.address()
	d.files = fs.New(d.live, d.flags.refresh, d.status)
	d.live.OnChange(d.files.Changed)
	if !d.flags.noIndex {
		d.front = front.New(d.live, d.store, d.flags.refresh)
		d.files.ShowDocuments(d.front)
	}
	d.counts.Watch(d.live.Status)
	return nil
}

// news takes word of what happened to a tag.
func (d *daemon) news(repo, tag string) {
	d.live.News(repo, tag)
	if d.front != nil {
		d.front.News(repo, tag)
	}
}

func (d *daemon) close() {
	if d.front != nil {
		d.front.Close()
	}
	d.live.Close()
	d.store.Close()
}

// serve mounts, and returns when that has ended.
func (d *daemon) serve(ctx context.Context, point string, stderr io.Writer) error {
	m, err := fs.Start(fs.Observed(d.files, d.counts.Operation), point,
		fs.MountOptions{Source: d.registry.Host(), AllowOther: d.flags.allowOther})
	if errors.Is(err, fs.ErrCannotMount) {
		return cli.WithCode(cli.ExitCannotMount, err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "regfs: %s is mounted at %s\n", d.registry.Host(), m.Point())
	d.mounted.Store(true)
	select {
	case <-ctx.Done():
	case <-m.Done():
		fmt.Fprintf(stderr, "regfs: %s was unmounted\n", m.Point())
	}
	d.mounted.Store(false)
	return m.Close()
}

// listWait is how long a start waits for the registry's list of repositories,
// which spares the first visitor a question for each name. A registry that is
// away keeps nothing from starting.
const listWait = 200 * time.Millisecond

func waitListed(ctx context.Context, live *namespace.Live) {
	ctx, cancel := context.WithTimeout(ctx, listWait)
	defer cancel()
	live.WaitListed(ctx)
}

func openStore(dir string, limit int64) (*cache.Store, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return cache.Open(dir, limit)
}

// statusDocument is what .regfs/status.json holds.
type statusDocument struct {
	namespace.Status
	Listen string `json:"listen,omitempty"` // host:port of the daemon's own address
}

// status tells how the daemon is, as JSON.
func (d *daemon) status() []byte {
	data, err := json.MarshalIndent(statusDocument{d.live.Status(), d.own.Address()}, "", "  ")
	if err != nil {
		return []byte("{}\n")
	}
	return append(data, '\n')
}
