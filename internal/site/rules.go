package site

import (
	"path"

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
