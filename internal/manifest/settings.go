package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/regfs/regfs/internal/rules"
)

// The keys of a configuration. docs/site.schema.json describes what they hold.
const (
	keyMediaType = "mediaType"
	keyRootDir   = "rootDir"
	keySchema    = "$schema" // where editors find the schema; not stored
	keySPA       = "spa"
	keyRedirects = "redirects"
	keyHeaders   = "headers"
)

// Settings are how a site wants to be served. The zero value is what one gets
// that says nothing.
type Settings struct {
	// SPA has navigations to what is not there answered with the page that a
	// single-page application starts from.
	SPA bool `json:"spa,omitempty"`

	// Redirects and Headers are rules in the order in which they count. Each has
	// passed its Check.
	Redirects []rules.Redirect `json:"redirects,omitempty"`
	Headers   []rules.Headers  `json:"headers,omitempty"`

	// Other are the keys that this version does not know, as they were found.
	Other map[string]json.RawMessage `json:"-"`
}

// Problem is something in a configuration that makes no sense.
type Problem struct {
	Line int    // in what was read, from 1
	Key  string // such as "spa"; "" for the document
	Text string // what is wrong, and what would be right
}

// Error gives the problem with its key, and without its line.
func (p Problem) Error() string {
	if p.Key == "" {
		return p.Text
	}
	return p.Key + ": " + p.Text
}

// ParseSettings reads settings that a user wrote: a configuration without what
// the packer fills in. With problems the settings are of no use.
func ParseSettings(data []byte) (Settings, []Problem) {
	r := settingsReader{lines: linesOf(data), strict: true}
	switch keys, err := objectIn(data); {
	case len(data) > MaxConfigSize:
		r.problem(0, "", "%d bytes, more than %d", len(data), MaxConfigSize)
	case err != nil:
		r.problem(errorOffset(err, len(data)), "", "%s", err)
	case !utf8.Valid(data):
		r.problem(invalidAt(data), "", "not UTF-8")
	default:
		return r.settings(keys), r.problems
	}
	return Settings{}, r.problems
}

// settingsReader reads settings and gathers what is wrong with them.
type settingsReader struct {
	lines    lines
	strict   bool   // what the packer fills in is a problem
	within   string // what the keys that are read are in, such as "redirects[3]"
	problems []Problem
}

func (r *settingsReader) problem(at int, key, format string, args ...any) {
	r.problems = append(r.problems, Problem{r.lines.at(at), key, fmt.Sprintf(format, args...)})
}

func (r *settingsReader) settings(keys []member) (s Settings) {
	seen := make(map[string]bool, len(keys))
	for _, m := range keys {
		if seen[m.key] {
			r.problem(m.at, shownKey(m.key), "is there twice")
			continue
		}
		seen[m.key] = true
		r.setting(&s, m)
	}
	return s
}

func (r *settingsReader) setting(s *Settings, m member) {
	switch m.key {
	case keySPA:
		s.SPA = r.boolean(m)
	case keyRedirects:
		s.Redirects = r.redirects(m)
	case keyHeaders:
		s.Headers = r.headers(m)
	case keySchema:
	case keyMediaType, keyRootDir:
		if r.strict {
			r.problem(m.at, m.key, "is filled in when the site is packed: leave it out")
		}
	default:
		if s.Other == nil {
			s.Other = map[string]json.RawMessage{}
		}
		s.Other[m.key] = m.value
	}
}

func (r *settingsReader) boolean(m member) bool {
	switch string(m.value) {
	case "true", "false":
		return m.value[0] == 't'
	}
	r.problem(m.at, r.name(m), "%s is neither true nor false", shownValue(m.value))
	return false
}

// shownValue is a value as messages show it: its beginning, on one line.
func shownValue(value []byte) string {
	const most = 60
	s := strings.Join(strings.Fields(string(value)), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// shownKey quotes keys that are no plain words.
func shownKey(key string) string {
	for _, r := range key {
		if r < '!' || r > '~' || r == '"' {
			return fmt.Sprintf("%.60q", key)
		}
	}
	return key
}

func invalidAt(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(data)
}

// errorOffset is where in n bytes of JSON err was found.
func errorOffset(err error, n int) int {
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return max(0, int(syntax.Offset)-1) // it counts the byte that was wrong
	}
	if errors.Is(err, errNotObject) {
		return 0
	}
	return n
}
