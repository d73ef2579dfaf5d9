package rules

import (
	"fmt"
	"slices"
	"strings"
)

// Unreachable tells of rules that can never count, or that lead to nothing.
// hasFile tells whether the site has something to show at a path.
func Unreachable(redirects []Redirect, hasFile func(path string) bool) []Problem {
	var found []Problem
	add := func(r Redirect, text string) { found = append(found, Problem{r.File, r.Line, text}) }
	c := coverage{exact: map[string][]*redirect{}}
	for _, r := range redirects {
		compiled, err := r.compile()
		if err != nil {
			continue
		}
		if why := c.whyNever(compiled, hasFile); why != "" {
			add(r, shown(r.From)+" can never count: "+why)
			continue
		}
		c.add(compiled)
		if why := compiled.whyNowhere(hasFile); why != "" {
			add(r, why)
		}
	}
	return found
}

// coverage is what earlier rules stand for.
type coverage struct {
	exact map[string][]*redirect
	open  []*redirect
}

func (c *coverage) add(r *redirect) {
	if r.from.exact() {
		c.exact[r.from.key()] = append(c.exact[r.from.key()], r)
	} else {
		c.open = append(c.open, r)
	}
}

func (c *coverage) whyNever(r *redirect, hasFile func(string) bool) string {
	earlier := c.open
	if r.from.exact() {
		at := path{segments: r.from.texts()}
		if to, ok := pathOf(r.to.expand(r.from, at)); ok && Moves(r.Status) && r.to.url == "" && !r.to.query && to.key() == at.key() {
			return "it leads to itself"
		}
		if !r.Force && hasFile(at.key()) {
			return fmt.Sprintf("the site has a file there, which is served; write %d! to redirect all the same", r.Status)
		}
		earlier = slices.Concat(c.exact[at.key()], earlier)
	}
	for _, e := range earlier {
		if (e.Force || !r.Force) && (e.From == r.From || e.from.covers(r.from)) {
			return fmt.Sprintf("%s:%d stands for all that it stands for", e.File, e.Line)
		}
	}
	return ""
}

// whyNowhere tells that what r leads to is not there, as far as that is known.
func (r *redirect) whyNowhere(hasFile func(string) bool) string {
	if len(r.to.unknown) > 0 {
		return fmt.Sprintf("%s: :%s is no placeholder of %s, it is taken as text", shown(r.To), shown(r.to.unknown[0]), shown(r.From))
	}
	if Moves(r.Status) || r.to.isOpen() {
		return ""
	}
	if to, ok := pathOf(r.to.expand(r.from, path{})); ok && !hasFile(to.String()) {
		return fmt.Sprintf("%s shows %s, which the site does not have", shown(r.From), shown(r.To))
	}
	return ""
}

// isOpen tells whether placeholders are filled in.
func (t *target) isOpen() bool {
	for _, p := range t.parts {
		if p.name != "" {
			return true
		}
	}
	return false
}

// texts are the segments of an exact pattern.
func (p *pattern) texts() []string {
	all := make([]string, len(p.before))
	for i, s := range p.before {
		all[i] = s.text
	}
	return all
}

// key is how an exact pattern is found: as the path's.
func (p *pattern) key() string { return "/" + strings.Join(p.texts(), "/") }
