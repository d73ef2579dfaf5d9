package bundle

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"
)

// maxPage is how much of a web page is looked at, in bytes.
const maxPage = 4 << 20

// pages gathers the URLs in web pages that begin with a slash: the browser looks
// for them at the root of the server, but the site is below /REPOSITORY/TAG/.
type pages struct {
	rootRelative places
	text         []byte // of the page that is being watched
}

func isPage(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".html", ".htm", ".xhtml":
		return true
	}
	return false
}

// watch passes on what is read from r, and looks at it when r is closed. One
// page is watched at a time.
func (p *pages) watch(name string, r io.ReadCloser) io.ReadCloser {
	p.text = p.text[:0]
	return &watchedPage{ReadCloser: r, name: name, pages: p}
}

type watchedPage struct {
	io.ReadCloser
	name  string
	pages *pages
}

func (w *watchedPage) Read(b []byte) (int, error) {
	n, err := w.ReadCloser.Read(b)
	text := &w.pages.text
	*text = append(*text, b[:min(n, maxPage-len(*text))]...)
	return n, err
}

func (w *watchedPage) Close() error {
	text, line, seen := w.pages.text, 1, 0
	findRootRelative(text, func(at int, attribute, url string) {
		line += bytes.Count(text[seen:at], []byte("\n"))
		seen = at
		w.pages.rootRelative.add(fmt.Sprintf("%s:%d: %s=%q", shownName(w.name), line, attribute, url))
	})
	return w.ReadCloser.Close()
}

// findRootRelative reports the attributes of page that name a URL of the root,
// and where in page. It looks for attributes, not at the structure: one in a
// comment counts as well.
func findRootRelative(page []byte, report func(at int, attribute, url string)) {
	for at := 0; ; at++ {
		i := bytes.IndexByte(page[at:], '=')
		if i < 0 {
			return
		}
		at += i
		if !mayEndAttribute(page[:at]) {
			continue
		}
		attribute := attributeBefore(page[:at])
		if attribute == "" {
			continue
		}
		value := attributeValue(page[at+1:])
		if url := rootURL(attribute, value); url != "" {
			report(at, attribute, url)
		}
	}
}

const spaces = " \t\r\n\f"

// mayEndAttribute reports, at little cost, whether text ends as one of the
// attributes or in white space: most of the equals signs of a page follow
// others.
func mayEndAttribute(text []byte) bool {
	if len(text) == 0 {
		return false
	}
	switch text[len(text)-1] {
	case 'f', 'F', 'c', 'C', 't', 'T', ' ', '\t', '\r', '\n', '\f':
		return true
	}
	return false
}

// attributeBefore is the attribute at the end of text if it is one that names a
// URL to load or to go to, else "".
func attributeBefore(text []byte) string {
	text = bytes.TrimRight(text[max(0, len(text)-64):], spaces)
	for _, name := range []string{"href", "src", "srcset"} {
		before := len(text) - len(name)
		if before > 0 && bytes.EqualFold(text[before:], []byte(name)) && bytes.IndexByte([]byte(spaces+`"'/`), text[before-1]) >= 0 {
			return name
		}
	}
	return ""
}

// maxURL is how long an attribute may be to be looked at, in bytes.
const maxURL = 64 << 10

// attributeValue is the value at the beginning of text, which follows the
// equals sign.
func attributeValue(text []byte) string {
	text = bytes.TrimLeft(text[:min(len(text), maxURL)], spaces)
	if len(text) == 0 {
		return ""
	}
	var end int
	if q := text[0]; q == '"' || q == '\'' {
		text = text[1:]
		end = bytes.IndexByte(text, q)
	} else {
		end = bytes.IndexAny(text, spaces+">")
	}
	if end < 0 {
		return ""
	}
	return string(text[:end])
}

// rootURL is the first URL in value that begins with one slash, or "". Two
// slashes begin the name of another host.
func rootURL(attribute, value string) string {
	candidates := []string{value}
	if attribute == "srcset" {
		candidates = strings.Split(value, ",")
	}
	for _, c := range candidates {
		c = strings.Trim(c, spaces)
		if strings.HasPrefix(c, "/") && !strings.HasPrefix(c, "//") {
			return c
		}
	}
	return ""
}
