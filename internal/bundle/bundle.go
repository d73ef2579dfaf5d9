// Package bundle turns a folder into an OCI image layout: it finds what of the
// folder is to be packed, says what cannot be and what will not work, and
// swaps the finished layout into place.
//
// It knows neither registries nor networks, and nothing of how a layer is
// encoded (package layer) or what its documents say (package manifest).
package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/layer"
	"github.com/regfs/regfs/internal/manifest"
)

// rootDir is the folder in the layer that holds the site, whatever the folder
// that was packed is called: so the original format has it.
const rootDir = "app"

// ErrUsage is the kind of errors in the options, as opposed to in the folder.
var ErrUsage = errors.New("wrong usage")

type usageError struct{ error }

func (usageError) Is(target error) bool { return target == ErrUsage }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Format is the shape of the index.
type Format string

// The formats: see manifest.ComposeDual and manifest.ComposeArtifact.
const (
	FormatDual     Format = "dual"
	FormatArtifact Format = "artifact"
)

// Options say what to pack and as what.
type Options struct {
	Version     string            // a tag
	Dir         string            // the folder that is packed
	Out         string            // the folder of layouts: the result is Out/Version
	Format      Format            //
	Title       string            // "" leaves it out
	Created     time.Time         // zero leaves it out
	Annotations map[string]string // further ones, of the index and its manifests

	// Config is a file of settings, described in docs/site.md, which is stored
	// with the site; "" is none. What the options below say wins.
	Config string
	SPA    *bool // manifest.Settings.SPA; nil leaves it to Config

	// Cache is a folder that remembers what was compressed, for the next
	// version; "" does without. It never changes the result, and may be
	// deleted at any time.
	Cache string

	// Progress, if not nil, is told of each file before it is packed: which
	// manieth of how many, and its name as messages show it.
	Progress func(n, of int, name string)
}

// Result describes the layout that was written.
type Result struct {
	Digest   digest.Digest // of the index
	Path     string        // the layout's folder
	Layer    layer.Packed
	Warnings []Warning
	CacheErr error // why Options.Cache was not used or not added to
}

// Warning is something that was packed but will not work as it should.
type Warning struct {
	Text   string   // what is wrong and what to do
	Places []string // where, as far as shown
	More   int      // how many more places there are
}

// tag is the grammar of the distribution specification.
var tag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// Write packs o.Dir into the layout o.Out/o.Version, in place of one that is
// there. What is there stays as it is until the new layout is complete, and
// when there is an error.
//
// Errors: ErrUsage for options that make no sense, fs.ErrNotExist when there is
// no o.Dir, fs.ErrPermission for what cannot be read, and others.
func Write(ctx context.Context, o Options) (Result, error) {
	if err := checkOptions(o); err != nil {
		return Result{}, err
	}
	target := filepath.Join(o.Out, o.Version)
	if err := checkPlaces(o.Dir, o.Out, target); err != nil {
		return Result{}, err
	}
	settings, err := settings(o)
	if err != nil {
		return Result{}, err
	}
	f, err := scanFolder(o.Dir, o.Out)
	if err != nil {
		return Result{}, err
	}
	defer f.close()
	if f.settings, err = f.withRules(settings); err != nil {
		return Result{}, err
	}
	f.progress = o.Progress

	s, err := newStaging(o.Out)
	if err != nil {
		return Result{}, err
	}
	defer s.discard()
	packed, cacheErr, err := packFolder(ctx, s, f, o)
	if err != nil {
		return Result{}, err
	}
	index, err := s.addDocuments(o, f.settings, packed)
	if err != nil {
		return Result{}, err
	}
	if err := s.swapInto(target); err != nil {
		return Result{}, err
	}
	return Result{Digest: index, Path: target, Layer: packed, Warnings: f.warnings(), CacheErr: cacheErr}, nil
}

// packFolder packs f into s. cacheErr is no reason to stop.
func packFolder(ctx context.Context, s *staging, f *folder, o Options) (p layer.Packed, cacheErr, err error) {
	var known layer.Members
	if o.Cache != "" {
		var m *memory
		if m, cacheErr = memoryFor(o); cacheErr == nil {
			known = m
			defer func() { cacheErr = m.close() }()
		}
	}
	p, err = s.addLayer(ctx, f, known)
	return p, cacheErr, err
}

func checkOptions(o Options) error {
	if !tag.MatchString(o.Version) {
		return usagef("VERSION %.140q is not a tag: use up to 128 letters, digits, '_', '.', '-', and neither '.' nor '-' first", o.Version)
	}
	if o.Format != FormatDual && o.Format != FormatArtifact {
		return usagef("format %q: it is %s or %s", o.Format, FormatDual, FormatArtifact)
	}
	return nil
}

// checkPlaces makes sure that the result neither is nor replaces what is packed,
// and that what it replaces is an earlier result.
func checkPlaces(dir, out, target string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: name the folder of the site with --dir", dir, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: not a folder; name the folder of the site with --dir", dir)
	}
	if o, err := os.Stat(out); err == nil && os.SameFile(info, o) {
		return usagef("%s is both what is packed and where the result goes: choose another --out", dir)
	}
	if within(target, dir) {
		return usagef("%s lies in %s, which the result replaces: choose another --out", dir, target)
	}
	return checkReplaceable(target)
}

// within reports whether dir, which exists, is target or below it.
func within(target, dir string) bool {
	target, err := filepath.EvalSymlinks(target)
	if err != nil {
		return false // nothing is below what is not there
	}
	if target, err = filepath.Abs(target); err != nil {
		return false
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return false
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return false
	}
	rel, err := filepath.Rel(target, dir)
	return err == nil && filepath.IsLocal(rel)
}

func compose(o Options, settings manifest.Settings, p layer.Packed) (manifest.Composed, error) {
	site := manifest.Site{
		Config:      manifest.Config{RootDir: rootDir, Settings: settings},
		Version:     o.Version,
		Title:       o.Title,
		Created:     o.Created,
		Annotations: o.Annotations,
		Layer: manifest.Layer{
			Digest:    p.Digest,
			Size:      p.Size,
			DiffID:    p.DiffID,
			TOCDigest: p.TOCDigest,
			TOCOffset: p.TOCOffset,
			Files:     p.Files,
			Bytes:     p.Bytes,
		},
	}
	if o.Format == FormatArtifact {
		return manifest.ComposeArtifact(site)
	}
	return manifest.ComposeDual(site)
}
