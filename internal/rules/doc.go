// Package rules is the language of a site's redirects and headers: it parses
// them, checks them, and tells which of them a path meets.
//
// The text forms are the files _redirects and _headers, as far as Netlify and
// Cloudflare Pages agree on them; docs/site.md describes them. The package knows
// neither HTTP servers nor registries nor files: what a site holds it is told.
//
// Patterns come from strangers and so do paths, and matching them takes time
// that is linear in the length of the path: a pattern has one splat at most, so
// that there is nothing to try twice.
package rules

import "fmt"

// Limits of what one site may say.
const (
	// MaxRedirects is what Cloudflare Pages takes.
	MaxRedirects = 2000
	// MaxPatterns is how many of the redirects may have a splat or a
	// placeholder: each of these is compared with each path that no earlier
	// rule meets. GitLab Pages takes 1,000 rules of any kind.
	MaxPatterns = 1000
	// MaxHeaders is how many blocks of headers there may be, as many as
	// Cloudflare Pages takes. All that meet a path count.
	MaxHeaders = 100
	// MaxLine is the length of a line in bytes, that of Cloudflare Pages.
	MaxLine = 2000
	// MaxHeaderBytes bounds the headers that one path may get, in bytes of
	// names and values: half of what a proxy's buffer of 32 KiB holds.
	MaxHeaderBytes = 16 << 10
)

// Redirect is a rule for paths that lead elsewhere.
type Redirect struct {
	From   string `json:"from"`            // the pattern
	To     string `json:"to"`              // a path of the site, or a URL
	Status int    `json:"status"`          // 301, 302, 303, 307, 308: go there; 200, 404: show that
	Force  bool   `json:"force,omitempty"` // also where the site has a file

	// The file that it comes from, as messages call it, and the line there.
	File string `json:"-"`
	Line int    `json:"-"`
}

// Headers is a rule for headers of answers.
type Headers struct {
	For    string            `json:"for"`    // the pattern
	Values map[string]string `json:"values"` // by name, spelled as in Cache-Control

	// The file that it comes from, as messages call it, and the line there.
	File string `json:"-"`
	Line int    `json:"-"`
}

// Problem is a line that makes no sense.
type Problem struct {
	File string // as in the rule, "" for the one that was parsed
	Line int
	Text string // what is wrong, and what would be right
}

// Error gives the problem without its line.
func (p Problem) Error() string { return p.Text }

// problems gathers what is wrong with a file.
type problems []Problem

func (p *problems) add(line int, format string, args ...any) {
	*p = append(*p, Problem{Line: line, Text: fmt.Sprintf(format, args...)})
}
