package site

import (
	"fmt"
	"html"
	"path"
	"strings"

	"github.com/regfs/regfs/internal/rules"
)

// moved are the pages that stand in for redirects where the web server does not
// ask for them: for each path of which a rule says that it is elsewhere, and
// where the site has nothing, a page that leads on. Names are as io/fs has them.
type moved struct {
	pages   map[string]rules.Outcome // by file
	folders map[string]bool          // that the files need
}

// newMoved finds the paths that lead elsewhere. Only rules for one path can be
// files; "/old" is old/index.html, so that its type and its links are right.
func newMoved(s *Site) *moved {
	m := &moved{pages: map[string]rules.Outcome{}, folders: map[string]bool{}}
	for name := range s.Rules().ExactPaths {
		// Not of the rule itself: an earlier one may be for this path too.
		o, ok := s.Rules().Redirect(name, "", func() bool { _, ok := s.Page(name); return ok })
		if !ok || !rules.Moves(o.Status) {
			continue
		}
		file := name[1:]
		if ext := path.Ext(file); ext != ".html" && ext != ".htm" {
			file = path.Join(file, "index.html")
		}
		m.pages[file] = o
		for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
			m.folders[dir] = true
		}
	}
	return m
}

// Moved tells what stands in for redirects under a name that the site does not
// have: a page that leads on, or a folder with such pages.
func (s *Site) Moved(name string) (page []byte, folder bool) {
	if len(s.Settings.Redirects) == 0 {
		return nil, false
	}
	s.movedOnce.Do(func() { s.moved = newMoved(s) })
	if o, ok := s.moved.pages[name]; ok {
		return movedPage(name, o), false
	}
	return nil, s.moved.folders[name]
}

// movedPage is a page at name that leads where o says. Its links are relative: it
// does not know where the site is.
func movedPage(name string, o rules.Outcome) []byte {
	target := o.Target
	if strings.HasPrefix(target, "/") {
		target = "./" + strings.Repeat("../", strings.Count(name, "/")) + target[1:]
	}
	url := html.EscapeString(target)
	canonical := ""
	if o.Status == 301 || o.Status == 308 {
		canonical = fmt.Sprintf("<link rel=\"canonical\" href=\"%s\">\n", url)
	}
	return fmt.Appendf(nil, `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Moved</title>
<meta name="robots" content="noindex">
<meta http-equiv="refresh" content="0; url=%[1]s">
%[2]s<p>This page is at <a href="%[1]s">%[1]s</a>.</p>
`, url, canonical)
}
