package rules

import (
	"net/url"
	"slices"
	"strings"
)

// Set is the rules of one site, ready to be asked. It never changes.
type Set struct {
	rules    []*redirect
	exact    map[string][]int // path, without a slash at its end: the rules for it, in order
	open     []int            // the rules with a splat or a placeholder, in order
	headers  []Headers
	patterns []*pattern // of headers
}

// NewSet makes a set of rules that passed their Check; others are left out.
func NewSet(redirects []Redirect, headers []Headers) *Set {
	s := &Set{exact: map[string][]int{}}
	for _, r := range redirects {
		if c, err := r.compile(); err == nil {
			s.add(c)
		}
	}
	for _, h := range headers {
		if p, err := compile(h.For); err == nil && h.Check() == nil {
			s.headers, s.patterns = append(s.headers, h), append(s.patterns, p)
		}
	}
	return s
}

func (s *Set) add(r *redirect) {
	i := len(s.rules)
	s.rules = append(s.rules, r)
	if r.from.exact() {
		key := r.from.key()
		s.exact[key] = append(s.exact[key], i)
	} else {
		s.open = append(s.open, i)
	}
}

// ExactPaths gives the paths of which a rule, for no other path, says that they
// are elsewhere.
func (s *Set) ExactPaths(yield func(string) bool) {
	for key, list := range s.exact {
		moves := slices.ContainsFunc(list, func(i int) bool { return Moves(s.rules[i].Status) })
		if moves && !yield(key) {
			return
		}
	}
}

// candidates gives the numbers of the rules that may be for a path, in order.
func (s *Set) candidates(at path) func(yield func(int) bool) {
	exact, open := s.exact[at.key()], s.open
	return func(yield func(int) bool) {
		for len(exact) > 0 || len(open) > 0 {
			next := &open
			if len(open) == 0 || len(exact) > 0 && exact[0] < open[0] {
				next = &exact
			}
			if !yield((*next)[0]) {
				return
			}
			*next = (*next)[1:]
		}
	}
}

// Outcome is where a path leads.
type Outcome struct {
	Status int
	// Target is, for 301, 302, 303, 307 and 308, what to answer as Location: a
	// URL, or a path from the root of the site, in printable ASCII, with a query
	// if there is one. For 200 and 404 it is the path in the site, not escaped,
	// of the page to show.
	Target string
}

// Redirect tells where a path of the site leads, if a rule says so: the first
// that stands for it. The path is decoded, the query is not. A rule that is not
// forced stands back where the site has something at the path, which hasFile is
// asked at most once.
func (s *Set) Redirect(text, query string, hasFile func() bool) (Outcome, bool) {
	at := newPath(text)
	asked, has := false, false
	for i := range s.candidates(at) {
		r := s.rules[i]
		if _, _, ok := r.from.match(at); !ok {
			continue
		}
		if !r.Force && !asked {
			asked, has = true, hasFile()
		}
		if !r.Force && has {
			continue
		}
		if o, ok := r.outcome(at, query); ok {
			return o, true
		}
	}
	return Outcome{}, false
}

// outcome is where r leads from a path that it stands for. A rule that leads
// there again, but for the slash at the end, would lead in circles: it counts as
// none.
func (r *redirect) outcome(at path, query string) (Outcome, bool) {
	text := r.to.expand(r.from, at)
	if !Moves(r.Status) {
		to, ok := pathOf(text)
		return Outcome{r.Status, to.String()}, ok
	}
	if to, ok := pathOf(text); ok && r.to.url == "" && !r.to.query && to.key() == at.key() {
		return Outcome{}, false
	}
	if query != "" && !r.to.query {
		before, fragment, has := strings.Cut(text, "#")
		text = before + "?" + escapeRest(query)
		if has {
			text += "#" + fragment
		}
	}
	return Outcome{r.Status, text}, true
}

// pathOf is the path of a target on this site.
func pathOf(target string) (path, bool) {
	text, err := url.PathUnescape(target[:strings.IndexAny(target+"?", "?#")])
	return newPath(text), err == nil && !strings.Contains(text, "\x00")
}

// HasHeaders tells whether any path gets headers.
func (s *Set) HasHeaders() bool { return len(s.headers) > 0 }

// Headers gives the headers for a path of the site, which is decoded: those of
// all rules that stand for it. A header of several rules has all their values.
func (s *Set) Headers(text string) map[string]string {
	if !s.HasHeaders() {
		return nil
	}
	at := newPath(text)
	var all map[string]string
	for i, h := range s.headers {
		if _, _, ok := s.patterns[i].match(at); !ok {
			continue
		}
		if all == nil {
			all = make(map[string]string, len(h.Values))
		}
		for name, value := range h.Values {
			join(all, name, value)
		}
	}
	return all
}
