package rules

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// target is a compiled To: text with the names of placeholders in it.
type target struct {
	url     string   // scheme and host of another site, "" for this one
	parts   []part   // from the first slash on
	query   bool     // the text has one
	unknown []string // what looks like a placeholder and is none of the pattern's
}

// part of a target: text as it stands, or what a placeholder stands for.
type part struct {
	text  string // escaped
	name  string
	query bool // in the query, or behind it
}

// compileTarget reads the To of a rule whose From is p. The names that p does not
// have are text.
func compileTarget(text string, p *pattern) (*target, error) {
	t := &target{}
	rest, err := t.cutHost(text)
	if err != nil {
		return nil, err
	}
	if _, err := url.PathUnescape(rest[:strings.IndexAny(rest+"?", "?#")]); err != nil {
		return nil, errors.New("a % in a target is followed by two hexadecimal digits, or written %25")
	}
	t.cut(rest, p)
	return t, nil
}

// cut finds the placeholders of p in text.
func (t *target) cut(rest string, p *pattern) {
	inQuery, slash := false, false
	for rest != "" {
		next := strings.IndexByte(rest[1:], ':') + 1
		if next == 0 {
			next = len(rest)
		}
		if n := nameLength(rest[1:next]); rest[0] == ':' && n > 0 {
			name := rest[1 : 1+n]
			if p.has(name) {
				t.parts = append(t.parts, part{name: name, query: inQuery})
				rest, slash = rest[1+n:], false
				continue
			}
			if slash {
				t.unknown = append(t.unknown, name)
			}
		}
		literal := rest[:next]
		slash = strings.HasSuffix(literal, "/")
		inQuery = inQuery || strings.ContainsAny(literal, "?#")
		t.query = t.query || strings.Contains(literal, "?")
		t.parts = append(t.parts, part{text: literal, query: inQuery})
		rest = rest[next:]
	}
}

// cutHost takes the beginning of a URL off text. A placeholder in the name of a
// host would let any link lead anywhere.
func (t *target) cutHost(text string) (rest string, err error) {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' && text[i] < 0x80 || strings.IndexByte("\\\"<>^`{|}", text[i]) >= 0 {
			return "", fmt.Errorf("%q in a target: write it as %%%02X", text[i], text[i])
		}
	}
	switch {
	case strings.HasPrefix(text, "//"):
		return "", errors.New("a target on another host begins with https:// or http://")
	case strings.HasPrefix(text, "/"):
		return text, nil
	}
	scheme, rest, _ := strings.Cut(text, "://")
	if scheme = strings.ToLower(scheme); scheme != "https" && scheme != "http" {
		return "", errors.New("a target is a path that begins with a slash, or a URL that begins with https:// or http://")
	}
	host := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		host = rest[:end]
	}
	if err := checkHost(host); err != nil {
		return "", err
	}
	t.url, rest = scheme+"://"+host, rest[len(host):]
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	return rest, nil
}

// checkHost accepts a host with or without a port.
func checkHost(host string) error {
	if strings.Contains(host, "@") {
		return errors.New("a user name in a target would be shown to everybody")
	}
	if i := strings.IndexByte(host, ':'); strings.Contains(host, "*") || i >= 0 && host[0] != '[' && nameLength(host[i+1:]) > 0 {
		return errors.New("a placeholder in the name of a host is not supported: any link could lead anywhere")
	}
	if u, err := url.Parse("https://" + host); err != nil || u.Hostname() == "" {
		return fmt.Errorf("%q is no host", host)
	}
	return nil
}

// expand fills in what the placeholders of p stand for in a path that it
// matches. The result is escaped, and begins with a slash or a host.
func (t *target) expand(p *pattern, at path) string {
	var b strings.Builder
	for _, part := range t.parts {
		if part.name == "" {
			b.WriteString(part.text)
			continue
		}
		value, _ := p.value(part.name, at)
		if part.query {
			b.WriteString(url.QueryEscape(value))
		} else {
			escapePath(&b, value)
		}
	}
	text := b.String()
	end := len(text)
	if i := strings.IndexAny(text, "?#"); i >= 0 {
		end = i
	}
	return t.url + escapeRest(newPath(text[:end]).String()+text[end:])
}

// escapePath writes what may stand in the path of a URL as it is, and all else
// as %XX, so that no value is anything but path: no query, no host behind "\",
// no line end.
func escapePath(b *strings.Builder, value string) { escape(b, value, isPathByte) }

// isPathByte tells whether c may stand in a path. Source: RFC 3986, pchar.
func isPathByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@/", c) >= 0
}

// escapeRest writes what no header should hold as %XX: spaces, letters of other
// scripts, line ends.
func escapeRest(text string) string {
	var b strings.Builder
	escape(&b, text, func(c byte) bool { return c > ' ' && c <= '~' })
	return b.String()
}

func escape(b *strings.Builder, text string, mayStand func(byte) bool) {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		c := text[i]
		if mayStand(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
}
