package namespace

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/regfs/regfs/internal/site"
)

// maxPathNames bounds the names of a path before those of a site: a repository
// has at most 255 bytes, and so at most 128 names.
const maxPathNames = 130

// Find gives the site that a path in the mount leads into, where in the path it
// begins, such as /my-app/v1, and the rest. The errors are those of Lookup.
func (l *Live) Find(ctx context.Context, name string) (s *site.Site, above, rest string, err error) {
	dir, rest := "", name
	if after, ok := strings.CutPrefix(rest, "/"+HostsFolder+"/"); ok {
		dir, above, rest = HostsFolder, "/"+HostsFolder, "/"+after
	}
	for range maxPathNames {
		component, after, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
		if component == "" || component[0] == '.' {
			break
		}
		e, err := l.Lookup(ctx, dir, component)
		if err != nil {
			return nil, "", "", err
		}
		above, rest = above+"/"+component, "/"+after
		if e.Site != nil {
			return e.Site, above, rest, nil
		}
		dir = path.Join(dir, component)
	}
	return nil, "", "", fmt.Errorf("%.100q leads into no site: %w", name, fs.ErrNotExist)
}
