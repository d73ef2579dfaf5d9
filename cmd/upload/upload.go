package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/regfs/regfs/internal/cli"
	"github.com/regfs/regfs/registry"
)

// defaultRepository is where bundle's default name leads.
const defaultRepository = registry.DefaultHost + "/my-app"

// upload is what was asked for.
type upload struct {
	images  string
	version string
	to      registry.Reference
	from    string // a repository of the same registry
	access  cli.RegistryFlags
	json    bool
	web     cli.Web
}

func command() *cobra.Command {
	u := upload{web: cli.DefaultWeb}
	cmd := &cobra.Command{
		Use:   "upload VERSION [REPOSITORY]",
		Short: "Push images/VERSION to REPOSITORY:VERSION, by default to " + defaultRepository,
		Long: "Upload pushes the OCI image layout at images/VERSION to REPOSITORY:VERSION and prints\n" +
			"REPOSITORY@DIGEST. It sends only what the registry lacks, and the tag last.\n\n" +
			"REPOSITORY is [http://|https://][HOST[:PORT]/]NAME, by default " + defaultRepository + ".\n" +
			"http:// in front forces plain HTTP. Credentials are those of docker login and podman login.",
		Example: "  upload v1\n  upload v1 registry.example.org/team/docs\n  upload v1 registry.example.org/live/docs --from team/docs\n" +
			"  upload v1 http://registry:5000/docs",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := u.parse(args); err != nil {
				return err
			}
			return u.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&u.images, "images", "images", "folder with the layouts of all versions")
	cmd.Flags().StringVar(&u.from, "from", "", "another `repository` of the same registry: what it has is mounted from it, and need not be sent")
	u.access.Add(cmd.Flags())
	cmd.Flags().Var(&u.web, "web", "where a web server serves a mount of the registry, to tell the version's addresses there; '' tells none")
	cmd.Flags().BoolVar(&u.json, "json", false, "print the result as JSON")
	return cmd
}

func (u *upload) parse(args []string) error {
	u.version = args[0]
	if !registry.ValidTag(u.version) {
		return cli.Usagef("version %q cannot be a tag: up to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'", u.version)
	}
	repository := defaultRepository
	if len(args) == 2 {
		repository = args[1]
	}
	to, err := registry.ParseReference(repository)
	switch {
	case err != nil:
		return cli.WithCode(cli.ExitUsage, err)
	case to.Digest != "":
		return cli.Usagef("repository %q has a digest: leave it out, the digest is what upload prints", repository)
	case to.Tag != "":
		return cli.Usagef("repository %q has a tag: leave out %q, the tag is the version, %s", repository, ":"+to.Tag, u.version)
	}
	u.to = to
	return u.parseFrom()
}

// parseFrom checks that --from is a repository of the registry that is uploaded to,
// and takes the registry off its name.
func (u *upload) parseFrom() error {
	host := withoutScheme(u.to.Host)
	repo := strings.TrimPrefix(withoutScheme(u.from), host+"/")
	if u.from != "" && !registry.ValidRepository(repo) {
		return cli.Usagef("--from %q is no repository of %s: blobs can only be mounted within one registry", u.from, host)
	}
	u.from = repo
	return nil
}

func withoutScheme(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, "http://"), "https://")
}

func (u *upload) run(ctx context.Context, stdout, stderr io.Writer) error {
	dir := filepath.Join(u.images, u.version)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return cli.WithCode(cli.ExitNotFound, u.noVersion(dir))
	}
	opts, err := u.access.Options(func(s string) { fmt.Fprintln(stderr, "warning:", s) })
	if err != nil {
		return err
	}
	client, err := registry.New(u.to.Host, opts...)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	line := cli.NewProgress(stderr)
	pushed, err := client.Push(ctx, dir, u.to.Repository, u.version, registry.PushOptions{From: u.from, Report: func(p registry.Progress) {
		line.Draw(sending(p))
	}})
	line.Clear()
	if err != nil {
		return err
	}
	fmt.Fprintln(stderr, u.summary(pushed.Progress))
	if host, path := u.web.Addresses(u.to.Repository, u.version); host != "" {
		fmt.Fprintf(stderr, "where a mount is served: %s and %s\n", path, host)
	}
	return u.print(stdout, pushed)
}

// noVersion says what there is instead of the version that is not.
func (u *upload) noVersion(dir string) error {
	there := "there are no versions in " + u.images
	var versions []string
	entries, _ := os.ReadDir(u.images) // a folder that is not there has no versions either
	for _, e := range entries {
		if registry.ValidTag(e.Name()) && e.IsDir() {
			versions = append(versions, e.Name())
		}
	}
	const most = 20 // a line or two
	switch n := len(versions); {
	case n > most:
		there = fmt.Sprintf("there are %s and %d more", strings.Join(versions[:most], ", "), n-most)
	case n == 1:
		there = "there is " + versions[0]
	case n > 1:
		there = "there are " + strings.Join(versions, ", ")
	}
	return fmt.Errorf("%s is not there (%s): `bundle %s` makes it", dir, there, u.version)
}

// sending is the line on a terminal while bytes go out.
func sending(p registry.Progress) string {
	return fmt.Sprintf("sending %s of %s", cli.Bytes(p.SentBytes), cli.Bytes(p.Bytes-p.ThereBytes-p.MountedBytes))
}

// summary is the one line that is left.
func (u *upload) summary(p registry.Progress) string {
	if p.Sent == 0 && p.Mounted == 0 && p.SentManifests == 0 {
		return fmt.Sprintf("sent nothing: all %d blobs and the tag were there", p.Blobs)
	}
	said := fmt.Sprintf("sent %d of %d blobs, %s", p.Sent, p.Blobs, cli.Bytes(p.SentBytes))
	if p.Mounted > 0 {
		said += fmt.Sprintf("; mounted %d from %s, %s", p.Mounted, u.from, cli.Bytes(p.MountedBytes))
	}
	if p.There > 0 {
		said += "; the rest was there"
	}
	return said
}

// result is what --json prints.
type result struct {
	Repository string        `json:"repository"` // with the host
	Tag        string        `json:"tag"`
	Digest     digest.Digest `json:"digest"`
	Blobs      int           `json:"blobs"`        // configurations and layers
	SentBlobs  int           `json:"sentBlobs"`    // those of them that the registry lacked
	SentBytes  int64         `json:"sentBytes"`    // of blobs
	Mounted    int           `json:"mountedBlobs"` // those that came from --from
	Path       string        `json:"path"`         // URL below the version's name; "" without --web
	Host       string        `json:"host"`         // URL on a host of its own
}

func (u *upload) print(w io.Writer, pushed registry.Pushed) error {
	if u.json {
		host, path := u.web.Addresses(u.to.Repository, u.version)
		return json.NewEncoder(w).Encode(result{
			Repository: u.to.String(),
			Tag:        u.version,
			Digest:     pushed.Digest,
			Blobs:      pushed.Blobs,
			SentBlobs:  pushed.Sent,
			SentBytes:  pushed.SentBytes,
			Mounted:    pushed.Mounted,
			Path:       path,
			Host:       host,
		})
	}
	_, err := fmt.Fprintf(w, "%s@%s\n", u.to, pushed.Digest)
	return err
}
