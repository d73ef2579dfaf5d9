package rules

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// pattern is a compiled path in which parts may be left open. Whether it or the
// path ends in a slash does not matter.
type pattern struct {
	before []segment // what comes before the splat, or all
	splat  bool
	prefix string    // of what the splat stands in: "/img/a*.png" has a and .png
	suffix string    //
	after  []segment // what comes after the segment with the splat
}

// segment is what is between two slashes.
type segment struct {
	text string // if it is not open
	name string // of a placeholder, else ""
}

// splatName is how a target calls what the splat stands for.
const splatName = "splat"

// exact tells whether nothing is left open.
func (p *pattern) exact() bool {
	if p.splat {
		return false
	}
	for _, s := range p.before {
		if s.name != "" {
			return false
		}
	}
	return true
}

// compile reads a pattern: a path whose segments may be ":name", which stands
// for one segment, and which may hold one "*", which stands for anything.
func compile(text string) (*pattern, error) {
	if !strings.HasPrefix(text, "/") {
		return nil, errors.New("a path begins with a slash")
	}
	if i := strings.IndexAny(text, "?#"); i >= 0 {
		return nil, fmt.Errorf("%q in a path is not supported: rules look at paths alone", text[i])
	}
	p := &pattern{}
	names := map[string]bool{splatName: strings.Contains(text, "*")}
	for part := range strings.SplitSeq(text, "/") {
		if part == "" {
			continue
		}
		if err := p.add(part, names); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *pattern) add(part string, names map[string]bool) error {
	prefix, suffix, splat := strings.Cut(part, "*")
	switch {
	case splat && (p.splat || strings.Contains(suffix, "*")):
		return errors.New("more than one * in a path is not supported")
	case splat:
		return p.addSplat(prefix, suffix)
	}
	s, err := parseSegment(part)
	if err != nil {
		return err
	}
	if s.name != "" {
		if names[s.name] {
			return fmt.Errorf(":%s is there twice", s.name)
		}
		names[s.name] = true
	}
	if p.splat {
		p.after = append(p.after, s)
	} else {
		p.before = append(p.before, s)
	}
	return nil
}

func (p *pattern) addSplat(prefix, suffix string) (err error) {
	p.splat = true
	if p.prefix, err = decode(prefix); err != nil {
		return err
	}
	p.suffix, err = decode(suffix)
	return err
}

func parseSegment(part string) (segment, error) {
	if part[0] == ':' {
		if name := part[1:]; nameLength(name) == len(name) && name != "" {
			return segment{name: name}, nil
		}
		return segment{}, fmt.Errorf("%s: a placeholder is a colon, a letter, letters and digits, and fills what is between two slashes", part)
	}
	text, err := decode(part)
	if err == nil && (text == "." || text == "..") {
		err = fmt.Errorf("%s in a path: no request has one", part)
	}
	return segment{text: text}, err
}

// decode gives what a part of a path means: authors write it as they see it in
// the address bar, or encoded.
func decode(part string) (string, error) {
	text, err := url.PathUnescape(part)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q: a %% is followed by two hexadecimal digits, or written %%25", part)
	case strings.ContainsAny(text, "/\x00"):
		return "", fmt.Errorf("%q: no name of a file holds that", part)
	}
	return text, nil
}

// nameLength is how many bytes at the beginning of text name a placeholder.
func nameLength(text string) int {
	for i := range len(text) {
		c := text[i] | 0x20
		letter := c >= 'a' && c <= 'z' || text[i] == '_'
		if !letter && (i == 0 || text[i] < '0' || text[i] > '9') {
			return i
		}
	}
	return len(text)
}

// path is a request's, decoded, cut at its slashes.
type path struct {
	segments []string
	slash    bool // it ends in one
}

// newPath reads a path as a web server does: slashes in a row are one, and "."
// and ".." lead where they lead in a folder, never above the root.
func newPath(text string) path {
	var p path
	for part := range strings.SplitSeq(text, "/") {
		p.slash = part == "" || part == "." || part == ".."
		switch part {
		case "", ".":
		case "..":
			p.segments = p.segments[:max(0, len(p.segments)-1)]
		default:
			p.segments = append(p.segments, part)
		}
	}
	return p
}

// key is the path as exact rules are found by it.
func (p path) key() string { return "/" + strings.Join(p.segments, "/") }

// String is the path as one would write it.
func (p path) String() string {
	if p.slash && len(p.segments) > 0 {
		return p.key() + "/"
	}
	return p.key()
}

// match tells whether p stands for a path, and from where to where in its
// segments the splat goes.
func (p *pattern) match(at path) (first, last int, ok bool) {
	n := len(at.segments)
	first, last = len(p.before), n-len(p.after)
	if first > last || !p.splat && first != n {
		return 0, 0, false
	}
	if !matchAll(p.before, at.segments[:first]) {
		return 0, 0, false
	}
	if !p.splat {
		return first, last, true
	}
	return first, last, matchAll(p.after, at.segments[last:]) && p.matchSplat(at.segments[first:last])
}

func matchAll(pattern []segment, segments []string) bool {
	for i, s := range pattern {
		if s.name == "" && s.text != segments[i] {
			return false
		}
	}
	return true
}

// matchSplat compares the ends of what the splat stands in.
func (p *pattern) matchSplat(segments []string) bool {
	if len(segments) == 0 {
		return p.prefix == "" && p.suffix == ""
	}
	head, tail := segments[0], segments[len(segments)-1]
	if len(segments) == 1 && len(head) < len(p.prefix)+len(p.suffix) {
		return false
	}
	return strings.HasPrefix(head, p.prefix) && strings.HasSuffix(tail, p.suffix)
}

// value is what the placeholder name, or the splat, of p stands for in a path
// that it matches.
func (p *pattern) value(name string, at path) (string, bool) {
	if name == splatName && p.splat {
		first, last, _ := p.match(at)
		text := strings.Join(at.segments[first:last], "/")
		if at.slash && len(p.after) == 0 && p.suffix == "" && text != "" {
			text += "/"
		}
		return text[len(p.prefix) : len(text)-len(p.suffix)], true
	}
	if i := indexName(p.before, name); i >= 0 {
		return at.segments[i], true
	}
	if i := indexName(p.after, name); i >= 0 {
		return at.segments[len(at.segments)-len(p.after)+i], true
	}
	return "", false
}

func indexName(pattern []segment, name string) int {
	for i, s := range pattern {
		if s.name == name {
			return i
		}
	}
	return -1
}

// has tells whether p has a placeholder, or a splat, of that name.
func (p *pattern) has(name string) bool {
	return name == splatName && p.splat || indexName(p.before, name) >= 0 || indexName(p.after, name) >= 0
}

// covers tells whether p stands for every path that q stands for. It may say no
// where it does all the same.
func (p *pattern) covers(q *pattern) bool {
	const open = "\x00" // what no path holds: only what is open in p stands for it
	var at path
	for _, s := range q.before {
		at.segments = append(at.segments, s.sample(open))
	}
	if !q.splat {
		_, _, ok := p.match(at)
		return ok
	}
	all := p.splat && p.prefix == "" && p.suffix == "" && len(p.after) == 0
	return all && len(p.before) <= len(q.before) && matchAll(p.before, at.segments[:len(p.before)])
}

func (s segment) sample(open string) string {
	if s.name != "" {
		return open
	}
	return s.text
}
