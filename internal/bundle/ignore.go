package bundle

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// ignoreFile names what is not packed, in the syntax of .gitignore, for the
// folder that it is in and all below. It is not packed itself.
const ignoreFile = ".regfsignore"

// maxIgnoreFile bounds an ignoreFile, in bytes.
const maxIgnoreFile = 1 << 20

// neverPacked are names that no rule brings back.
var neverPacked = map[string]bool{".git": true, ".DS_Store": true, ignoreFile: true}

// ignoreRules are in the order in which they were read: the last that matches
// counts.
type ignoreRules []ignoreRule

// ignoreRule is one line of an ignoreFile.
//
// The library matches a pattern against all components of a path, so that what
// matches a folder matches everything below it. git asks about the path itself,
// and never looks into a folder that is ignored; so do we. Otherwise a rule
// that brings back a folder would bring back all in it.
type ignoreRule struct {
	dir      string // where the file lies: "." or a path
	pattern  gitignore.Pattern
	nameOnly bool              // without a slash: matches a name at any depth
	inside   gitignore.Pattern // for "x/**", which is all in x but not x: the pattern of x
}

// ignores reports whether p is left out. Its parents are not.
func (rules ignoreRules) ignores(p string, isDir bool) bool {
	if neverPacked[path.Base(p)] {
		return true
	}
	for i := len(rules) - 1; i >= 0; i-- {
		if m := rules[i].match(p, isDir); m != gitignore.NoMatch {
			return m == gitignore.Exclude
		}
	}
	return false
}

func (r ignoreRule) match(p string, isDir bool) gitignore.MatchResult {
	if r.dir != "." {
		p = p[len(r.dir)+1:]
	}
	parts := strings.Split(p, "/")
	last := len(parts) - 1
	switch {
	case r.nameOnly:
		return r.pattern.Match(parts[last:], isDir)
	case r.inside != nil && r.inside.Match(parts[:last], true) == gitignore.NoMatch:
		return gitignore.NoMatch
	case r.inside == nil && r.pattern.Match(parts[:last], true) != gitignore.NoMatch:
		return gitignore.NoMatch
	}
	return r.pattern.Match(parts, isDir)
}

// readIgnoreFile adds the rules of the ignoreFile in dir to those of the
// folders above.
func (f *folder) readIgnoreFile(dir string, above ignoreRules) (ignoreRules, error) {
	name := path.Join(dir, ignoreFile)
	file, err := f.root.Open(name)
	if err != nil {
		return nil, unreadable(f.shown(name), err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxIgnoreFile+1))
	if err != nil {
		return nil, unreadable(f.shown(name), err)
	}
	if len(data) > maxIgnoreFile {
		return nil, fmt.Errorf("%s: more than %d bytes", f.shown(name), maxIgnoreFile)
	}
	rules, err := parseIgnore(dir, string(data))
	if err != nil {
		return nil, fmt.Errorf("%s:%w", f.shown(name), err)
	}
	return append(above[:len(above):len(above)], rules...), nil
}

// parseIgnore reads the lines of an ignoreFile that lies in dir. Its errors
// begin with the number of the line.
func parseIgnore(dir, text string) (ignoreRules, error) {
	var rules ignoreRules
	text = strings.TrimPrefix(text, "\ufeff")
	for i, line := range strings.Split(text, "\n") {
		line = trimIgnoreLine(line)
		if line == "" || line[0] == '#' {
			continue
		}
		r, err := parseIgnoreRule(dir, line)
		if err != nil {
			return nil, fmt.Errorf("%d: %q: %w", i+1, line, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// trimIgnoreLine takes off a carriage return and the spaces at the end, unless
// they are quoted.
func trimIgnoreLine(line string) string {
	line = strings.TrimSuffix(line, "\r")
	trimmed := strings.TrimRight(line, " \t")
	if strings.HasSuffix(trimmed, `\`) && len(trimmed) < len(line) {
		return trimmed + line[len(trimmed):len(trimmed)+1]
	}
	return trimmed
}

func parseIgnoreRule(dir, line string) (ignoreRule, error) {
	// path.Match, which the library uses, knows only the caret.
	line = strings.ReplaceAll(line, "[!", "[^")
	bare := strings.TrimPrefix(line, "!")
	for part := range strings.SplitSeq(bare, "/") {
		if _, err := path.Match(part, ""); err != nil {
			return ignoreRule{}, errors.New("not a pattern: a bracket without its end, or a backslash at the end")
		}
	}
	r := ignoreRule{
		dir:      dir,
		pattern:  gitignore.ParsePattern(line, nil),
		nameOnly: !strings.Contains(strings.TrimSuffix(bare, "/"), "/"),
	}
	if in, ok := strings.CutSuffix(bare, "/**"); ok && in != "" {
		r.inside = gitignore.ParsePattern("/"+strings.TrimPrefix(in, "/"), nil)
	}
	return r, nil
}
