package site

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/regfs/regfs/internal/rules"
	"github.com/regfs/regfs/internal/tree"
)

// Rules are the site's redirects and headers, ready to be asked.
func (s *Site) Rules() *rules.Set {
	s.rulesOnce.Do(func() { s.rules = rules.NewSet(s.Settings.Redirects, s.Settings.Headers) })
	return s.rules
}

// HasRules tells whether the site says anything of redirects or headers.
func (s *Site) HasRules() bool { return len(s.Settings.Redirects)+len(s.Settings.Headers) > 0 }

// Page finds the file that is served for a path of the site, which is decoded:
// itself, the index of a folder, or the page that the path leaves the .html off.
// The result is a path from the root of the site.
func (s *Site) Page(name string) (string, bool) {
	name = path.Clean("/" + name)
	for _, candidate := range []string{name, path.Join(name, "index.html"), name + ".html"} {
		if n, ok := s.Tree.Walk(tree.Root, candidate[1:], true); ok && s.Tree.Kind(n) == tree.File {
			return candidate, true
		}
	}
	return "", false
}

// HasPage tells whether a path of the site, which is decoded, is answered by the
// mount: by a page of the site, or perhaps by an asset of an earlier version.
func (s *Site) HasPage(name string) bool {
	_, ok := s.Page(name)
	return ok || s.MayHaveAsset(path.Base(name))
}

// maxPathNames bounds the names of a path before those of a site: a repository
// has at most 255 bytes, and so at most 128 names.
const maxPathNames = 130

// Find gives the site that a path in the mount leads into, where in the path it
// begins, such as /my-app/v1, and the rest. The errors are those of Lookup.
func (l *Live) Find(ctx context.Context, name string) (s *Site, above, rest string, err error) {
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
