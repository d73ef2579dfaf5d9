package rules

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// samples are files as sites have them.
var samples = []string{`
# moved when the handbook got its own folder
/handbook            /guide/            301
/handbook/*          /guide/:splat      301
/feed                /feed.xml
/download            https://example.org/releases/latest 302
`, `
/blog/:year/:month/:day/:slug   /posts/:year-:month-:day-:slug.html   308
/blog/*       /posts/:splat
/en/*         /en/404.html   404
/app/*        /app/index.html  200
/admin/*      /login  302!
/*            /index.html  200
`, "/caf\u00e9 /caf%C3%A9/ 307\r\n/a%20b /c # spaces\r\n", `
/store id=:id /shop/:id 301
/ /de 302 Country=de
`}

var headerSamples = []string{`
/*
  X-Frame-Options: DENY
  Referrer-Policy: strict-origin-when-cross-origin
/assets/*
  Cache-Control: public, max-age=31536000, immutable
/*.html
  Content-Security-Policy: default-src 'self'; img-src 'self' data:
`, "/a\n  Set-Cookie: x=y\n! X-A\nhttps://a/b\n"}

// FuzzRedirects checks what must hold of any rules and any path: an answer is one
// header, and leads to no host that no rule names.
func FuzzRedirects(f *testing.F) {
	for _, text := range samples {
		f.Add(text, "/handbook/a", "x=1")
		f.Add(text, "/blog/2024/05/06//evil.example/\\/..", "\r\nX: y")
	}
	f.Add("/*/a /:splat", "/\x00/a", "")
	f.Fuzz(func(t *testing.T, text, path, query string) {
		rules, _ := ParseRedirects(text)
		Unreachable(rules, func(path string) bool { return len(path)%2 == 0 })
		s := NewSet(rules, nil)
		if len(s.rules) != len(rules) {
			t.Fatalf("%d of %d rules that were parsed are left out", len(rules)-len(s.rules), len(rules))
		}
		o, ok := s.Redirect(path, query, func() bool { return false })
		if !ok {
			return
		}
		if !Moves(o.Status) {
			if !strings.HasPrefix(o.Target, "/") || strings.Contains(o.Target+"/", "/../") {
				t.Fatalf("got %q to show", o.Target)
			}
			return
		}
		for i := range len(o.Target) {
			if o.Target[i] <= ' ' || o.Target[i] > '~' {
				t.Fatalf("got %q as Location", o.Target)
			}
		}
		if strings.HasPrefix(o.Target, "/") {
			if strings.HasPrefix(o.Target, "//") || strings.HasPrefix(o.Target, `/\`) {
				t.Fatalf("%q leads to another host", o.Target)
			}
			return
		}
		scheme, rest, _ := strings.Cut(o.Target, "://")
		host := scheme + "://" + rest[:strings.IndexAny(rest+"/", "/?#")]
		if !strings.Contains(strings.ToLower(text), strings.ToLower(host)) {
			t.Fatalf("%q leads to a host that no rule names", o.Target)
		}
	})
}

func FuzzHeaders(f *testing.F) {
	for _, text := range headerSamples {
		f.Add(text, "/assets/a.js")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		rules, wrong := ParseHeaders(text)
		size := 0
		for name, value := range NewSet(nil, rules).Headers(path) {
			if checkHeader(name, value) != nil {
				t.Fatalf("got %q: %q", name, value)
			}
			size += len(name) + len(value)
		}
		if wrong == nil && size > MaxHeaderBytes {
			t.Fatalf("got %d bytes of headers", size)
		}
	})
}

// FuzzMatch compares with regular expressions, which say the same at more cost.
func FuzzMatch(f *testing.F) {
	for _, c := range [][2]string{
		{"/a/*", "/a"}, {"/a/*", "/a/b/"}, {"/*/b", "/b"}, {"/a*b", "/ab"}, {"/a*b/c", "/a/b/c"}, {"/:x/*.js/:y", "/1/2.js/3"},
		{"/", "/"}, {"/*", "/"}, {"/:x", "/"}, {"/a/./b", "/a/b"}, {"/a*a", "/a"}, {"/ab*ba/*", "/aba"},
	} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, text, request string) {
		p, err := compile(text)
		at := newPath(request)
		if err != nil || !utf8.ValidString(fmt.Sprint(p, at)) {
			return // regular expressions know nothing but UTF-8
		}
		_, _, got := p.match(at)
		if want := asRegexp(p).MatchString(strings.TrimSuffix(at.key(), "/")); got != want {
			t.Errorf("%q and %q: got %v, want %v by %s", text, at.key(), got, want, asRegexp(p))
		}
	})
}

func asRegexp(p *pattern) *regexp.Regexp {
	var b strings.Builder
	add := func(segments []segment) {
		for _, s := range segments {
			if s.name != "" {
				b.WriteString("/[^/]+")
			} else {
				b.WriteString("/" + regexp.QuoteMeta(s.text))
			}
		}
	}
	add(p.before)
	switch {
	case !p.splat:
	case p.prefix == "" && p.suffix == "":
		b.WriteString("(/.*)?")
	default:
		b.WriteString("/" + regexp.QuoteMeta(p.prefix) + ".*" + regexp.QuoteMeta(p.suffix))
	}
	add(p.after)
	return regexp.MustCompile("(?s)^" + b.String() + "$")
}

// The most that a site may have, and the longest path: what a request costs.
func BenchmarkRedirectWorst(b *testing.B) {
	var text strings.Builder
	for range MaxPatterns {
		text.WriteString("/:a/:b/*/:c/none /x/:splat\n")
	}
	rules, _ := ParseRedirects(text.String())
	s := NewSet(rules, nil)
	path := strings.Repeat("/abc", 1000)
	for b.Loop() {
		s.Redirect(path, "", func() bool { return false })
	}
}

func BenchmarkRedirectUsual(b *testing.B) {
	rules, _ := ParseRedirects(samples[0] + samples[1])
	headers, _ := ParseHeaders(headerSamples[0])
	s := NewSet(rules, headers)
	for b.Loop() {
		s.Redirect("/assets/app.0123.js", "", func() bool { return true })
		s.Headers("/assets/app.0123.js")
	}
}
