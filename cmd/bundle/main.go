/*
Bundle packs a folder with a website into an OCI image layout, which upload
pushes to a registry and regfs serves.

	bundle VERSION [--dir app] [--out images] [--name my-app]
	       [--format=dual|artifact] [--created TIME] [--annotation KEY=VALUE]...
	       [--config FILE] [--spa] [--cache DIR] [--json]

The layout is written to OUT/VERSION, in one step: until it is complete, and if
there is an error, what was there stays. VERSION becomes the tag and so must be
one: up to 128 letters, digits, '_', '.' and '-'.

Standard output is the digest of the index, or with --json an object that says
more. The same files give the same digest on any machine, whatever their times,
owners and permissions, and whatever the folder is called; only what the flags
say counts as well.

# What is packed

Files, folders and symbolic links; hard links are files. Left out are .git,
.DS_Store, and what a .regfsignore file, in the syntax of .gitignore, names for
the folder that it is in and those below. The folder of results is left out when
it is inside DIR.

Refused, with a list of the first 20: sockets, devices and FIFOs; links that lead
out of the folder; names that begin with ".wh.", that are longer than 255 bytes,
or that are not UTF-8; paths of more than 4095 bytes; a folder with no file.

Warned about: URLs in src, href and srcset of HTML pages that begin with a slash,
because a site is also served below /REPOSITORY/VERSION/; names that differ only in
case; links to nothing that is packed.

# How the site wants to be served

A file site.json beside the folder, or another that --config names, says how the
site wants to be served, and is stored with it; see docs/site.md. A value that
makes no sense is refused with its line. A key that this version does not know
is stored, and warned about.

Files _redirects and _headers in the root of the folder, in the language on which
Netlify and Cloudflare Pages agree, are read, checked and stored with it too, and
not packed. Warned about: rules that can never count, that lead to nothing, or
that need nginx/rules.conf.

# Flags

	--dir         the folder to pack
	--out         the folder of layouts
	--name        org.opencontainers.image.title of the index and, in the dual
	              format, of its manifests; "" leaves it out
	--format      dual: an index of the site as an artifact and as an image for
	              container engines. artifact: the artifact alone, as the
	              original format has it; its manifest says the version
	--created     when it was made, as 2006-01-02T15:04:05Z, for the images and
	              as org.opencontainers.image.created; also from
	              SOURCE_DATE_EPOCH, seconds since 1970. Without either it is
	              not said
	--annotation  a further annotation of the index and its manifests; again
	              for more
	--config      the site's configuration; by default site.json beside the
	              folder, if there is one; "" does without
	--spa         the site is a single-page application: what a browser goes to
	              and is not there gets its index.html. --spa=false overrules the
	              configuration
	--cache       the folder that remembers, in its folder bundle, what was
	              compressed, so that the next version of a site compresses only
	              what changed: up to 1 GiB, what was not used for longest goes
	              first. It never changes the result and may be deleted at any
	              time; "" does without. By default the user's cache folder

Each flag can come from the environment: --dir from REGFS_DIR.

# Exit codes

0 done, 1 the folder holds what cannot be packed, or another error, 2 wrong
usage, 4 no such folder, 5 something cannot be read or written, 130 and 143 ended
by a signal.

# Limitations

Times, owners, permissions and extended attributes are not stored. Pages are
looked at as text, for attributes, up to 4 MiB each: URLs in scripts and style
sheets are not found. In .regfsignore a "**" in the middle of a pattern does not
try all places where it could match. Replacing a layout needs a file system with
renameat2(2) and its RENAME_EXCHANGE, as all local ones of Linux have it.
*/
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/regfs/regfs/internal/bundle"
	"github.com/regfs/regfs/internal/cli"
	"github.com/regfs/regfs/internal/manifest"
)

func main() { cli.Main(command()) }

// flags are as the user wrote them.
type flags struct {
	options     bundle.Options
	format      string
	created     string
	annotations []string
	spa         bool
	json        bool
}

func command() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:     "bundle VERSION",
		Short:   "Pack a folder with a website into an OCI image layout",
		Example: "  bundle v1\n  bundle 2024-06 --dir public --out build/images",
		Version: version(),
		Args:    oneVersion,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.options.Version = args[0]
			return run(cmd, f)
		},
	}
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	fl := cmd.Flags()
	fl.StringVar(&f.options.Dir, "dir", "app", "the `FOLDER` to pack")
	fl.StringVar(&f.options.Out, "out", "images", "the `FOLDER` of layouts: the result is FOLDER/VERSION")
	fl.StringVar(&f.options.Title, "name", "my-app", "the site's `NAME`, said in org.opencontainers.image.title")
	fl.StringVar(&f.format, "format", string(bundle.FormatDual), "`SHAPE` of the index: dual (artifact and images) or artifact")
	fl.StringVar(&f.created, "created", "", "the `TIME` to say it was made, as 2006-01-02T15:04:05Z (default: SOURCE_DATE_EPOCH, or none)")
	fl.StringArrayVar(&f.annotations, "annotation", nil, "a further annotation, `KEY=VALUE`; may be repeated")
	fl.StringVar(&f.options.Config, "config", "", "the `FILE` that says how the site wants to be served (default: site.json beside the folder)")
	fl.BoolVar(&f.spa, "spa", false, "the site is a single-page application: what is not there gets its index.html")
	fl.StringVar(&f.options.Cache, "cache", defaultCache(), "the `FOLDER` that remembers what was compressed; \"\" does without")
	fl.BoolVar(&f.json, "json", false, "print an object instead of the digest")
	return cmd
}

// defaultCache is where programs of this user keep what can be had again, or ""
// for a user without a home, as containers have them.
func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "regfs")
}

func oneVersion(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("one VERSION is needed, got %d", len(args))
	}
	return nil
}

func run(cmd *cobra.Command, f flags) error {
	o := f.options
	o.Format = bundle.Format(f.format)
	var err error
	if o.Created, err = createdTime(f.created, os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		return err
	}
	if o.Annotations, err = parseAnnotations(f.annotations); err != nil {
		return err
	}
	if !cmd.Flags().Changed("config") {
		o.Config = bundle.ConfigBeside(o.Dir)
	}
	if cmd.Flags().Changed("spa") {
		o.SPA = &f.spa
	}
	progress := cli.NewProgress(cmd.ErrOrStderr())
	o.Progress = func(n, of int, name string) {
		progress.Draw(fmt.Sprintf("packing %d of %d files: %s", n, of, name))
	}
	r, err := bundle.Write(cmd.Context(), o)
	progress.Clear()
	if errors.Is(err, bundle.ErrUsage) {
		return cli.WithCode(cli.ExitUsage, err)
	}
	if err != nil {
		return err
	}
	if r.CacheErr != nil && cmd.Flags().Changed("cache") { // of a default nobody asked for, say nothing
		fmt.Fprintf(cmd.ErrOrStderr(), "bundle: warning: done without the cache: %v\n", r.CacheErr)
	}
	report(cmd.ErrOrStderr(), r)
	if f.json {
		return printJSON(cmd.OutOrStdout(), o, r)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), r.Digest)
	return err
}

// createdTime is the time that --created says, or else SOURCE_DATE_EPOCH. Source:
// reproducible-builds.org/specs/source-date-epoch.
func createdTime(flag, epoch string) (time.Time, error) {
	if flag != "" {
		t, err := time.Parse(time.RFC3339, flag)
		if err != nil {
			return t, cli.Usagef("--created %q: not a time such as 2006-01-02T15:04:05Z", flag)
		}
		return t, nil
	}
	if epoch == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if t := time.Unix(seconds, 0).UTC(); err == nil && seconds >= 0 && t.Year() <= 9999 {
		return t, nil
	}
	return time.Time{}, cli.Usagef("SOURCE_DATE_EPOCH=%q: not a number of seconds since 1970", epoch)
}

// ownAnnotations are said by other flags.
var ownAnnotations = []string{
	manifest.AnnotationFormat,
	ocispec.AnnotationRefName,
	ocispec.AnnotationTitle,
	ocispec.AnnotationCreated,
}

func parseAnnotations(list []string) (map[string]string, error) {
	annotations := map[string]string{}
	for _, a := range list {
		key, value, ok := strings.Cut(a, "=")
		if !ok || key == "" {
			return nil, cli.Usagef("--annotation %q: not KEY=VALUE", a)
		}
		if slices.Contains(ownAnnotations, key) {
			return nil, cli.Usagef("--annotation %q: bundle sets %s itself: use --name, --created, or VERSION", a, key)
		}
		annotations[key] = value
	}
	return annotations, nil
}

// report writes what was done, for people.
func report(w io.Writer, r bundle.Result) {
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "bundle: warning: %s\n", strings.Join(warning.Lines(), "\n  "))
	}
	fmt.Fprintf(w, "bundle: %s: %d files, %s, packed into %s\n", r.Path, r.Layer.Files, cli.Bytes(r.Layer.Bytes), cli.Bytes(r.Layer.Size))
}

// result is what --json prints, a contract with scripts. Sizes are bytes.
type result struct {
	Version  string        `json:"version"`
	Digest   string        `json:"digest"`
	Path     string        `json:"path"`
	Files    int           `json:"files"`
	Bytes    int64         `json:"bytes"`
	Layer    resultLayer   `json:"layer"`
	Warnings []resultPlace `json:"warnings"`
}

type resultLayer struct {
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	DiffID    string `json:"diffID"`
	TOCDigest string `json:"tocDigest"`
}

type resultPlace struct {
	Text   string   `json:"text"`
	Places []string `json:"places"`
	More   int      `json:"more"`
}

func printJSON(w io.Writer, o bundle.Options, r bundle.Result) error {
	out := result{
		Version: o.Version,
		Digest:  r.Digest.String(),
		Path:    r.Path,
		Files:   r.Layer.Files,
		Bytes:   r.Layer.Bytes,
		Layer: resultLayer{
			Digest:    r.Layer.Digest.String(),
			Size:      r.Layer.Size,
			DiffID:    r.Layer.DiffID.String(),
			TOCDigest: r.Layer.TOCDigest.String(),
		},
		Warnings: []resultPlace{},
	}
	for _, warning := range r.Warnings {
		out.Warnings = append(out.Warnings, resultPlace(warning))
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

// version is that of the module, as the go command recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
