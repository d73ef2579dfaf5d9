package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/regfs/regfs/internal/manifest"
)

// configFile is the name of a site's configuration. It lies beside the folder
// that is packed, and not in it, so that it is not served.
const configFile = "site.json"

// ConfigBeside is the configuration beside the folder dir, or "" when there is
// none.
func ConfigBeside(dir string) string {
	name := filepath.Join(dir, "..", configFile)
	if info, err := os.Stat(name); err != nil || info.IsDir() {
		return ""
	}
	return name
}

// settings are what o.Config says, and what the other options say instead.
func settings(o Options) (manifest.Settings, error) {
	var s manifest.Settings
	if o.Config != "" {
		data, err := readConfig(o.Config, o.Dir)
		if err != nil {
			return s, err
		}
		var problems []manifest.Problem
		if s, problems = manifest.ParseSettings(data); problems != nil {
			return s, configError(o.Config, problems)
		}
		mark(s, shownName(o.Config))
	}
	if o.SPA != nil {
		s.SPA = *o.SPA
	}
	return s, nil
}

// readConfig reads the configuration name of the folder dir.
func readConfig(name, dir string) ([]byte, error) {
	if within(dir, name) {
		return nil, usagef("%s lies in %s, where it would be packed and served: put it beside the folder", name, dir)
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: name the configuration of the site with --config", shownName(name), fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, manifest.MaxConfigSize+1))
}

// configError is what is wrong in the file name, each with its line as compilers
// have it.
func configError(name string, problems []manifest.Problem) error {
	var list places
	for _, p := range problems {
		list.addUpTo(maxRefused, fmt.Sprintf("%s:%d: %s", shownName(name), p.Line, p))
	}
	return errors.New(strings.Join(list.lines(), "\n"))
}
