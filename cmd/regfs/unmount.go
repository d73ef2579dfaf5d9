package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/regfs/regfs/fs"
	"github.com/regfs/regfs/internal/cli"
)

func unmountCommand() *cobra.Command {
	lazy := false
	c := &cobra.Command{
		Use:   "unmount MOUNTPOINT",
		Short: "End a mount, also one whose daemon is gone",
		Long: `Unmount ends a mount. One whose daemon is gone is taken away, and so is one whose
daemon has not answered for ten seconds: whoever waits for it hears an error.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			err := fs.Unmount(args[0], lazy)
			if errors.Is(err, fs.ErrNotMounted) {
				return cli.WithCode(cli.ExitNotFound, err)
			}
			return err
		},
	}
	c.Flags().BoolVar(&lazy, "lazy", false, "do not wait for who has files open: detach the mount now")
	return c
}
