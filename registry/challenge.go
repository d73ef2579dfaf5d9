package registry

import (
	"net/http"
	"strings"
)

// challenge is how a server wants credentials.
type challenge struct {
	scheme string            // "basic", "bearer", or another in lower case
	params map[string]string // names in lower case: realm, service, scope, error
}

// differs reports whether c is a challenge, and has to be met in another way
// than known.
func (c challenge) differs(known challenge) bool {
	return c.scheme != "" && (c.scheme != known.scheme || c.scheme == "bearer" &&
		(c.params["realm"] != known.params["realm"] || c.params["service"] != known.params["service"]))
}

// challengeOf is the challenge of an answer that we can meet best, or one with
// no scheme.
func challengeOf(res *http.Response) challenge {
	var best challenge
	for _, header := range res.Header.Values("WWW-Authenticate") {
		for _, c := range parseChallenges(header) {
			if c.scheme == "bearer" && c.params["realm"] != "" {
				return c
			}
			if c.scheme == "basic" || best.scheme == "" {
				best = c
			}
		}
	}
	return best
}

// parseChallenges reads a WWW-Authenticate header: challenges, each a scheme
// and parameters, all of them separated by commas. What is malformed ends it.
// Source: RFC 9110, section 11.6.1.
func parseChallenges(s string) []challenge {
	var found []challenge
	for {
		s = strings.TrimLeft(s, " \t,")
		word, rest := cutToken(s)
		if word == "" {
			return found
		}
		if value, after, ok := cutValue(rest); ok { // NAME=VALUE
			if len(found) == 0 {
				return nil // of no scheme
			}
			found[len(found)-1].params[strings.ToLower(word)] = value
			s = after
			continue
		}
		found = append(found, challenge{strings.ToLower(word), map[string]string{}})
		s = rest
	}
}

// cutToken splits an RFC 9110 token from the front of s.
func cutToken(s string) (token, rest string) {
	i := strings.IndexFunc(s, func(r rune) bool {
		return r >= 0x7f || r <= ' ' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
	if i < 0 {
		i = len(s)
	}
	return s[:i], s[i:]
}

// cutValue splits "=VALUE" or "=\"VALUE\"" from the front of s.
func cutValue(s string) (value, rest string, ok bool) {
	s, ok = strings.CutPrefix(strings.TrimLeft(s, " \t"), "=")
	if !ok {
		return "", "", false
	}
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		value, rest = cutToken(s)
		return value, rest, value != ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
