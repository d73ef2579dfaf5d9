package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/rules"
)

// Files with rules, as Netlify and Cloudflare Pages have them in the root of a
// site. They are read and not packed.
const (
	redirectsFile = "_redirects"
	headersFile   = "_headers"
)

// maxRuleFile bounds one of them, in bytes: what the configuration may hold.
const maxRuleFile = manifest.MaxConfigSize

func isRuleFile(p string, mode fs.FileMode) bool {
	return (p == redirectsFile || p == headersFile) && (mode.IsRegular() || mode.Type() == fs.ModeSymlink)
}

// withRules adds the rules in files to the settings; those of files count first.
func (f *folder) withRules(s manifest.Settings) (manifest.Settings, error) {
	var wrong []string
	for _, name := range f.ruleFiles {
		text, err := f.readRuleFile(name)
		if err != nil {
			return s, err
		}
		var problems []rules.Problem
		if name == redirectsFile {
			var all []rules.Redirect
			all, problems = rules.ParseRedirects(text)
			s.Redirects = append(all, s.Redirects...)
		} else {
			var all []rules.Headers
			all, problems = rules.ParseHeaders(text)
			s.Headers = append(all, s.Headers...)
		}
		mark(s, name)
		for _, p := range problems {
			wrong = append(wrong, fmt.Sprintf("%s:%d: %s", f.shown(name), p.Line, p))
		}
	}
	if len(wrong) == 0 {
		wrong = tooMuch(s)
	}
	if len(wrong) > 0 {
		var list places
		for _, w := range wrong {
			list.addUpTo(maxRefused, w)
		}
		return s, errors.New(strings.Join(list.lines(), "\n"))
	}
	f.written = slices.Clone(s.Redirects)
	takeSPA(&s)
	return s, nil
}

// takeSPA makes the rule that is how others spell that a site is a single-page
// application the setting. After it only forced rules ever count.
func takeSPA(s *manifest.Settings) {
	found := false
	s.Redirects = slices.DeleteFunc(s.Redirects, func(r rules.Redirect) bool {
		found = found || r.IsSPA()
		return found && !r.Force
	})
	s.SPA = s.SPA || found
}

// mark says of rules that say nothing of it that they come from a file.
func mark(s manifest.Settings, file string) {
	for i := range s.Redirects {
		s.Redirects[i].File = cmp.Or(s.Redirects[i].File, file)
	}
	for i := range s.Headers {
		s.Headers[i].File = cmp.Or(s.Headers[i].File, file)
	}
}

// tooMuch tells that files and configuration together pass a limit, which each
// keeps by itself.
func tooMuch(s manifest.Settings) (wrong []string) {
	if n := len(s.Redirects); n > rules.MaxRedirects {
		wrong = append(wrong, fmt.Sprintf("%d redirects, more than %d", n, rules.MaxRedirects))
	}
	if n := len(s.Headers); n > rules.MaxHeaders {
		wrong = append(wrong, fmt.Sprintf("%d blocks of headers, more than %d", n, rules.MaxHeaders))
	}
	if err := rules.CheckHeaders(s.Headers); err != nil {
		wrong = append(wrong, err.Error())
	}
	return wrong
}

func (f *folder) readRuleFile(name string) (string, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return "", unreadable(f.shown(name), err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxRuleFile+1))
	if err != nil {
		return "", unreadable(f.shown(name), err)
	}
	if len(data) > maxRuleFile {
		return "", fmt.Errorf("%s: more than %d bytes", f.shown(name), maxRuleFile)
	}
	return string(data), nil
}

// emptyRules are those that can never count, or lead to nothing.
func (f *folder) emptyRules() (found places) {
	if len(f.written) == 0 {
		return found
	}
	packed := make(map[string]bool, len(f.entries))
	for _, e := range f.entries {
		packed["/"+strings.TrimPrefix(strings.TrimPrefix(e.Name, rootDir), "/")] = e.Type != fs.ModeDir
	}
	for _, p := range rules.Unreachable(f.written, func(name string) bool {
		return packed[name] || packed[path.Join(name, "index.html")] || packed[name+".html"]
	}) {
		found.add(fmt.Sprintf("%s:%d: %s", p.File, p.Line, p))
	}
	return found
}

// rulesForEndpoint are those that a mount alone cannot honour.
func (f *folder) rulesForEndpoint() (found places) {
	for _, r := range f.settings.Redirects {
		switch {
		case !rules.Moves(r.Status):
			found.add(fmt.Sprintf("%s:%d: %s shows another page", r.File, r.Line, shownName(r.From)))
		case r.Force:
			found.add(fmt.Sprintf("%s:%d: %s counts also where the site has a file", r.File, r.Line, shownName(r.From)))
		case !r.IsExact():
			found.add(fmt.Sprintf("%s:%d: %s is more than one path", r.File, r.Line, shownName(r.From)))
		}
	}
	for _, h := range f.settings.Headers {
		found.add(fmt.Sprintf("%s:%d: headers for %s", h.File, h.Line, shownName(h.For)))
	}
	return found
}

// unsentHeaders are those that nginx has to be told of.
func (f *folder) unsentHeaders() (found places) {
	names := map[string]string{}
	for _, h := range f.settings.Headers {
		for name := range h.Values {
			if !rules.IsSent(name) && names[name] == "" {
				names[name] = fmt.Sprintf("%s:%d: %s", h.File, h.Line, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		found.add(names[name])
	}
	return found
}
