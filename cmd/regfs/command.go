package main

import (
	"log/slog"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// command is regfs with all its subcommands.
func command() *cobra.Command {
	c := &cobra.Command{
		Use:     "regfs",
		Short:   "Show the tags of an OCI registry as folders",
		Version: version(),
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	verbose := c.PersistentFlags().BoolP("verbose", "v", false, "log more")
	c.PersistentPreRun = func(c *cobra.Command, _ []string) {
		level := slog.LevelInfo
		if *verbose {
			level = slog.LevelDebug
		}
		slog.SetDefault(slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: level})))
	}
	c.AddCommand(mountCommand(), unmountCommand(), statusCommand(), diffCommand(), prefetchCommand(), explainCommand())
	return c
}

// version is what the build knows of itself.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
