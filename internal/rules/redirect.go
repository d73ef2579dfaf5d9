package rules

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// DefaultStatus is that of a rule that names none, as Netlify, GitLab and IPFS
// have it; Cloudflare takes 302.
const DefaultStatus = 301

// Moves tells whether a status sends the browser elsewhere.
func Moves(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// redirect is a compiled Redirect.
type redirect struct {
	Redirect
	from *pattern
	to   *target
}

// Check tells what is wrong with a rule, or nil.
func (r Redirect) Check() error {
	_, err := r.compile()
	return err
}

func (r Redirect) compile() (*redirect, error) {
	if n := len(r.From) + len(r.To); n > MaxLine {
		return nil, fmt.Errorf("a rule of %d bytes, more than %d", n, MaxLine)
	}
	from, err := compile(r.From)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown(r.From), err)
	}
	to, err := compileTarget(r.To, from)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown(r.To), err)
	}
	switch {
	case !Moves(r.Status) && r.Status != 200 && r.Status != 404:
		return nil, fmt.Errorf("status %d is not supported: 301, 302, 303, 307, 308, 200 and 404 are", r.Status)
	case !Moves(r.Status) && to.url != "":
		return nil, fmt.Errorf("%s: status %d shows a page of the same site: send browsers to another with 301 or 302", shown(r.To), r.Status)
	}
	return &redirect{r, from, to}, nil
}

// IsSPA tells whether the rule is how others spell that a site is a single-page
// application.
func (r Redirect) IsSPA() bool {
	return r.From == "/*" && (r.To == "/index.html" || r.To == "/") && r.Status == 200 && !r.Force
}

// IsExact tells whether the rule is about one path only.
func (r Redirect) IsExact() bool {
	p, err := compile(r.From)
	return err == nil && p.exact()
}

// ParseRedirects reads a file _redirects.
func ParseRedirects(text string) ([]Redirect, []Problem) {
	var rules []Redirect
	var wrong problems
	patterns := 0
	for i, line := range lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		r, err := parseRedirect(line, fields)
		if err != nil {
			wrong.add(i, "%s", err)
			continue
		}
		r.Line = i
		if !r.IsExact() {
			patterns++
		}
		rules = append(rules, r)
		if len(rules) > MaxRedirects || patterns > MaxPatterns {
			wrong.add(i, "more than %d redirects, or more than %d of them with * or :placeholders", MaxRedirects, MaxPatterns)
			break
		}
	}
	return rules, wrong
}

// lines gives the lines of a text by their number.
func lines(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range strings.SplitSeq(strings.TrimPrefix(text, "\ufeff"), "\n") {
			if n++; !yield(n, strings.TrimSuffix(line, "\r")) {
				return
			}
		}
	}
}

func checkLine(line string) error {
	if len(line) > MaxLine {
		return fmt.Errorf("a line of %d bytes, more than %d", len(line), MaxLine)
	}
	if !utf8.ValidString(line) {
		return errors.New("not UTF-8: write other bytes of a path as %XX")
	}
	return nil
}

// parseRedirect reads "from to [status[!]]", with a comment behind it or none.
func parseRedirect(line string, fields []string) (Redirect, error) {
	if err := checkLine(line); err != nil {
		return Redirect{}, err
	}
	for i, f := range fields {
		if f[0] == '#' {
			fields = fields[:i]
			break
		}
	}
	r := Redirect{From: fields[0], Status: DefaultStatus}
	if strings.Contains(r.From, "://") {
		return r, fmt.Errorf("%s: rules for a host are not supported: begin with the path", shown(r.From))
	}
	fields = fields[1:]
	if len(fields) > 0 && isCondition(fields[0]) {
		return r, fmt.Errorf("%s: rules for a query are not supported: rules look at paths alone", shown(fields[0]))
	}
	if len(fields) == 0 {
		return r, fmt.Errorf("%s leads nowhere: a rule is \"/from /to\", and 301 or another status", shown(r.From))
	}
	r.To, fields = fields[0], fields[1:]
	if len(fields) > 0 && !isCondition(fields[0]) {
		if err := r.setStatus(fields[0]); err != nil {
			return r, err
		}
		fields = fields[1:]
	}
	if len(fields) > 0 {
		return r, fmt.Errorf("%s: conditions on country, language, role or cookie are not supported", shown(fields[0]))
	}
	return r, r.Check()
}

// isCondition tells "id=:id" and "Country=de" from paths and URLs.
func isCondition(field string) bool {
	i := strings.IndexByte(field, '=')
	return i > 0 && !strings.ContainsAny(field[:i], "/:")
}

func (r *Redirect) setStatus(text string) error {
	number, force := strings.CutSuffix(text, "!")
	status, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("%s is no status: it is a number such as 301, and with a ! it counts also where the site has a file", shown(text))
	}
	r.Status, r.Force = status, force
	return nil
}

// shown is text as messages have it.
func shown(text string) string {
	const most = 80
	quoted := strconv.Quote(text)
	if quoted = quoted[1 : len(quoted)-1]; len(quoted) > most {
		return quoted[:most] + "..."
	}
	return quoted
}
