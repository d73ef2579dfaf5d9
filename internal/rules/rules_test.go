package rules

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// parse reads rules that are right.
func parse(t testing.TB, text string) []Redirect {
	t.Helper()
	rules, wrong := ParseRedirects(text)
	if wrong != nil {
		t.Fatalf("%q: got %v, want no problem", text, wrong)
	}
	return rules
}

// leads gives "301 /where" for a path with a query, or "".
func leads(s *Set, request string, files ...string) string {
	path, query, _ := strings.Cut(request, "?")
	o, ok := s.Redirect(path, query, func() bool { return slices.Contains(files, newPath(path).key()) })
	if !ok {
		return ""
	}
	return fmt.Sprint(o.Status, " ", o.Target)
}

func TestWhereRulesLead(t *testing.T) {
	for _, c := range []struct{ rules, request, want string }{
		// One path.
		{"/a /b", "/a", "301 /b"},
		{"/a /b", "/a/", "301 /b"},
		{"/a/ /b/", "/a", "301 /b/"},
		{"/a /b", "//a", "301 /b"},
		{"/a /b", "/x/../a", "301 /b"},
		{"/a /b", "/a/b", ""},
		{"/a /b", "/A", ""},
		{"/ /b 302", "/", "302 /b"},
		{"/a / 308", "/a", "308 /"},
		{"/a /b/../c", "/a", "301 /c"},
		{"/a https://example.org", "/a", "301 https://example.org/"},
		{"/a HTTPS://example.org:8443/x?y#z", "/a", "301 https://example.org:8443/x?y#z"},
		{"/a b", "/a", "!"},

		// Encoded or not, it is the same path.
		{"/caf%C3%A9 /b", "/café", "301 /b"},
		{"/café /thé", "/café", "301 /th%C3%A9"},
		{"/a%20b /c%20d", "/a b", "301 /c%20d"},
		{"/50%25 /b", "/50%", "301 /b"},
		{"/a%ff /b%ff", "/a\xff", "301 /b%ff"},
		{"/a/* /:splat", "/a/\xff", "301 /%FF"},

		// The query goes along, unless the target has one.
		{"/a /b", "/a?x=1&y=2", "301 /b?x=1&y=2"},
		{"/a /b#c", "/a?x=1", "301 /b?x=1#c"},
		{"/a /b?z=3", "/a?x=1", "301 /b?z=3"},
		{"/a https://example.org/b", "/a?x", "301 https://example.org/b?x"},
		{"/a /b", "/a?\r\nX: y\"é", "301 /b?%0D%0AX:%20y\"%C3%A9"},

		// Splats.
		{"/n/* /b/:splat", "/n/2024/x", "301 /b/2024/x"},
		{"/n/* /b/:splat", "/n/2024/x/", "301 /b/2024/x/"},
		{"/n/* /b/:splat", "/n/", "301 /b/"},
		{"/n/* /b/:splat", "/n", "301 /b/"},
		{"/n/* /b/:splat", "/nx", ""},
		{"/* https://example.org/:splat 302", "/a/b", "302 https://example.org/a/b"},
		{"/*/old /:splat/new", "/a/b/old", "301 /a/b/new"},
		{"/*/old /x/:splat", "/old", "301 /x/"},
		{"/img/*.png /pic/:splat.webp", "/img/a/b.png", "301 /pic/a/b.webp"},
		{"/img/*.png /pic/:splat.webp", "/img/.jpg", ""},
		{"/a*b /x", "/ab", "301 /x"},
		{"/a*a /x", "/a", ""},
		{"/a*c/d /:splat", "/aa/bb/ccc/d", "301 /a/bb/cc"},
		{"/s/* /q?x=:splat&y=1", "/s/a b&c/d", "301 /q?x=a+b%26c%2Fd&y=1"},
		{"/s/* /q#:splat", "/s/x", "301 /q#x"},

		// Placeholders.
		{"/n/:year/:month/:slug /:year-:month-:slug.html", "/n/2024/05/a", "301 /2024-05-a.html"},
		{"/n/:year /x/:year", "/n/", ""},
		{"/n/:year /x/:year", "/n/1/2", ""},
		{"/:x/f /q/:x", "/a/f", "301 /q/a"},
		{"/:x/f /q/:x", "/f", ""},
		{"/:x/* /:splat/:x", "/a/b/c", "301 /b/c/a"},
		{"/*/:x /:x/:splat", "/a/b/c", "301 /c/a/b"},
		{"/f/:foo/:foobar /:foobar/:foo", "/f/1/2", "301 /2/1"},
		{"/f/:a /:a/:a/:b", "/f/1", "301 /1/1/:b"},
		{"/talk /wiki/Talk:Main", "/talk", "301 /wiki/Talk:Main"},

		// What a visitor writes stays a part of the path.
		{"/r/* /:splat", "/r//evil.example", "301 /evil.example"},
		{"/r/* /:splat", `/r/\evil.example`, "301 /%5Cevil.example"},
		{"/r/* /:splat", "/r/a\r\nSet-Cookie: b=c", "301 /a%0D%0ASet-Cookie:%20b=c"},
		{"/r/:a /:a", "/r/a?b", "301 /a?b"},
		{"/r/:a /x/:a", "/r/a#b", "301 /x/a%23b"},
		{"/r/:a /x/.:a/b", "/r/.", ""},
		{"/r/* /x/:splat", "/r/../../..", ""},

		// Pages of the same site.
		{"/app/* /app/index.html 200", "/app/x/y", "200 /app/index.html"},
		{"/de/* /de/404.html 404", "/de/x?y", "404 /de/404.html"},
		{"/p/:x /pages/:x.html 200", "/p/a b", "200 /pages/a b.html"},
		{"/p/:x /pages/:x 200", "/p/%41", "200 /pages/%41"},
		{"/a /b?c#d 200", "/a", "200 /b"},

		// The first that counts, where no file is unless it is forced.
		{"/a/* /1\n/a/b /2", "/a/b", "301 /1"},
		{"/a/b /2\n/a/* /1", "/a/b", "301 /2"},
		{"/file /b", "/file", ""},
		{"/file /b 301!", "/file", "301 /b"},
		{"/* /1\n/file /2 302!", "/file", "302 /2"},
		{"/file /1\n/file /2 302!", "/file", "302 /2"},

		// In circles.
		{"/a /a/", "/a", ""},
		{"/* /:splat 302", "/a", ""},
		{"/a /a?x=1 302", "/a", "302 /a?x=1"},
	} {
		rules, wrong := ParseRedirects(c.rules)
		if (wrong != nil) != (c.want == "!") {
			t.Errorf("%q: got %v", c.rules, wrong)
			continue
		}
		if wrong != nil {
			continue
		}
		if got := leads(NewSet(rules, nil), c.request, "/file"); got != c.want {
			t.Errorf("%q: %q: got %q, want %q", c.rules, c.request, got, c.want)
		}
	}
}

func TestRedirectsThatMakeNoSense(t *testing.T) {
	for line, want := range map[string]string{
		"/a":                                  `/a leads nowhere: a rule is "/from /to", and 301 or another status`,
		"a /b":                                "a: a path begins with a slash",
		"/a b":                                "b: a target is a path that begins with a slash, or a URL that begins with https:// or http://",
		"/a ftp://example.org/":               "ftp://example.org/: a target is a path that begins with a slash, or a URL that begins with https:// or http://",
		"/a javascript:alert(1)":              "javascript:alert(1): a target is a path that begins with a slash, or a URL that begins with https:// or http://",
		"/a //example.org":                    "//example.org: a target on another host begins with https:// or http://",
		"/a https:///x":                       `https:///x: "" is no host`,
		"/a https://u:p@example.org/":         "https://u:p@example.org/: a user name in a target would be shown to everybody",
		"/:a https://:a.example.org/":         "https://:a.example.org/: a placeholder in the name of a host is not supported: any link could lead anywhere",
		"/* https://example.org:splat/":       "https://example.org:splat/: a placeholder in the name of a host is not supported: any link could lead anywhere",
		`/a /b\c`:                             `/b\\c: '\\' in a target: write it as %5C`,
		"/a /b%zz":                            "/b%zz: a % in a target is followed by two hexadecimal digits, or written %25",
		"/a%zz /b":                            `/a%zz: "a%zz": a % is followed by two hexadecimal digits, or written %25`,
		"/a%2Fb /c":                           `/a%2Fb: "a%2Fb": no name of a file holds that`,
		"/a/../b /c":                          "/a/../b: .. in a path: no request has one",
		"/a?x=1 /b":                           "/a?x=1: '?' in a path is not supported: rules look at paths alone",
		"/*/b/* /c":                           "/*/b/*: more than one * in a path is not supported",
		"/:a/:a /c":                           "/:a/:a: :a is there twice",
		"/:splat/* /c":                        "/:splat/*: :splat is there twice",
		"/:1 /c":                              "/:1: :1: a placeholder is a colon, a letter, letters and digits, and fills what is between two slashes",
		"/:a.html /c":                         "/:a.html: :a.html: a placeholder is a colon, a letter, letters and digits, and fills what is between two slashes",
		"/a /b 410":                           "status 410 is not supported: 301, 302, 303, 307, 308, 200 and 404 are",
		"/a /b soon":                          "soon is no status: it is a number such as 301, and with a ! it counts also where the site has a file",
		"/a https://example.org/ 200":         "https://example.org/: status 200 shows a page of the same site: send browsers to another with 301 or 302",
		"/a id=:id /b/:id 301":                "id=:id: rules for a query are not supported: rules look at paths alone",
		"/ /de 302 Language=de":               "Language=de: conditions on country, language, role or cookie are not supported",
		"/ /de Country=de":                    "Country=de: conditions on country, language, role or cookie are not supported",
		"http://example.org/* /b":             "http://example.org/*: rules for a host are not supported: begin with the path",
		"/a\xff /b":                           "not UTF-8: write other bytes of a path as %XX",
		"/a /b 301 x":                         "x: conditions on country, language, role or cookie are not supported",
		"/a /" + strings.Repeat("b", MaxLine): fmt.Sprintf("a line of %d bytes, more than %d", MaxLine+4, MaxLine),
	} {
		rules, wrong := ParseRedirects("# first\n" + line + "\n/ok /fine\n")
		if len(wrong) != 1 || wrong[0] != (Problem{"", 2, want}) || len(rules) != 1 {
			t.Errorf("%.80q: got %v and %d rules; want %q in line 2 and one rule", line, wrong, len(rules), want)
		}
	}
}

func TestCommentsAndBlanksAreNoRules(t *testing.T) {
	got := parse(t, "\ufeff# all\r\n\r\n  \t\n /a\t/b#c  301!  # why\r\n#/x /y\n/c /d # /e\n/f /g")
	want := []Redirect{
		{From: "/a", To: "/b#c", Status: 301, Force: true, Line: 4},
		{From: "/c", To: "/d", Status: 301, Line: 6},
		{From: "/f", To: "/g", Status: 301, Line: 7},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestThereAreNoMoreRulesThanTheLimits(t *testing.T) {
	for _, c := range []struct {
		rule string
		n    int
		ok   bool
	}{
		{"/a /b\n", MaxRedirects, true},
		{"/a /b\n", MaxRedirects + 1, false},
		{"/a/* /b\n", MaxPatterns, true},
		{"/a/* /b\n", MaxPatterns + 1, false},
	} {
		if _, wrong := ParseRedirects(strings.Repeat(c.rule, c.n)); (wrong == nil) != c.ok {
			t.Errorf("%d times %q: got %v", c.n, c.rule, wrong)
		}
	}
	if _, wrong := ParseHeaders(strings.Repeat("/a\n  X-A: b\n", MaxHeaders+1)); len(wrong) != 1 {
		t.Errorf("%d blocks of headers: got %v", MaxHeaders+1, wrong)
	}
	long := "\n  Link: " + strings.Repeat("x", 1000)
	if _, wrong := ParseHeaders("/*" + strings.Repeat(long, 10) + "\n/a" + strings.Repeat(long, 10)); len(wrong) != 1 {
		t.Errorf("20 kB of headers for one page: got %v", wrong)
	}
	if _, wrong := ParseHeaders("/b" + strings.Repeat(long, 10) + "\n/a" + strings.Repeat(long, 10)); wrong != nil {
		t.Errorf("10 kB of headers for each of two pages: got %v", wrong)
	}
}

func TestSPAIsSpelledInTwoWays(t *testing.T) {
	for line, want := range map[string]bool{
		"/* /index.html 200": true, "/* / 200": true,
		"/* /index.html 200!": false, "/* /index.html": false, "/*  /app.html 200": false, "/a/* /index.html 200": false,
	} {
		if got := parse(t, line)[0].IsSPA(); got != want {
			t.Errorf("%q: got %v, want %v", line, got, want)
		}
	}
}

func TestRulesThatNeverCountAreTold(t *testing.T) {
	rules := parse(t, strings.Join([]string{
		"/a /b",                   // 1
		"/a/ /c",                  // 2: as 1
		"/a /c 302!",              // 3: where there is a file
		"/page /x",                // 4: there is
		"/page /x 301!",           // 5
		"/self /self/",            // 6
		"/n/* /m/:splat",          // 7
		"/n/1 /x",                 // 8: in 7
		"/n/1 /x 302!",            // 9
		"/n/a/* /x",               // 10: in 7
		"/:a/1 /x",                // 11
		"/n /x",                   // 12: in 7
		"/show /nothing.html 200", // 13: not there
		"/show2 /page.html 200",   // 14
		"/t/:a /x/:b",             // 15: no :b
		"/self2 /self2?x=1",       // 16
		"/*.png /x",               // 17
		"/d/*.png /x",             // 18: in 17, which is not seen
		"/* /page.html 404",       // 19
		"/z /y",                   // 20: in 19
		"/:a /y",                  // 21: in 19
		"/*.gif /y",               // 22: in 19
		"/q /y 302!",              // 23: where there is a file
	}, "\n"))
	files := []string{"/page", "/page.html"}
	var got []int
	for _, p := range Unreachable(rules, func(path string) bool { return slices.Contains(files, path) }) {
		got = append(got, p.Line)
	}
	if want := []int{2, 4, 6, 8, 10, 12, 13, 15, 20, 21, 22}; !slices.Equal(got, want) {
		t.Errorf("got lines %d, want %d: %v", got, want, Unreachable(rules, func(string) bool { return false }))
	}
}

func TestHeadersOfAllRulesAdd(t *testing.T) {
	rules, wrong := ParseHeaders(`# all
/*
  x-frame-options: DENY
  Link: </a.css>; rel=preload
  link: </b.css>; rel=preload

/assets/*
  Cache-Control: public, max-age=31536000, immutable
/assets/*.js
	Link:</c.js>; rel=preload
/blog/:slug
  X-Robots-Tag: noindex # not a comment
/only
  Referrer-Policy: no-referrer
`)
	if wrong != nil {
		t.Fatal(wrong)
	}
	s := NewSet(nil, rules)
	all := map[string]string{"X-Frame-Options": "DENY", "Link": "</a.css>; rel=preload, </b.css>; rel=preload"}
	with := func(name, value string) map[string]string {
		m := maps.Clone(all)
		m[name] = value
		return m
	}
	asset := with("Cache-Control", "public, max-age=31536000, immutable")
	script := maps.Clone(asset)
	script["Link"] += ", </c.js>; rel=preload"
	for path, want := range map[string]map[string]string{
		"/": all, "/x/y": all, "/assets/a.css": asset, "/assets/x/a.js": script, "/assets": asset,
		"/blog/a": with("X-Robots-Tag", "noindex # not a comment"), "/blog/a/b": all,
		"/only/": with("Referrer-Policy", "no-referrer"),
	} {
		if got := s.Headers(path); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	if got := NewSet(nil, nil).Headers("/"); got != nil {
		t.Errorf("got %v of a site without headers", got)
	}
}

func TestHeadersThatMakeNoSense(t *testing.T) {
	for _, c := range []struct {
		text string
		line int
		want string
	}{
		{"X-A: b", 1, "X-A: b: a header comes below the path that it is for"},
		{"/a\n  X-A", 2, `X-A: a header is "Name: value"`},
		{"/a\n  X-A:", 2, "X-A has no value"},
		{"/a\n  : b", 2, " is no name of a header: it has letters, digits and dashes"},
		{"/a\n  X_A: b", 2, "X_a is no name of a header: it has letters, digits and dashes"},
		{"/a\n  X-A: b\x01", 2, `X-A: the value holds '\x01': a header has printable ASCII only`},
		{"/a\n  X-A: é", 2, `X-A: the value holds 'Ã': a header has printable ASCII only`},
		{"/a\n  X-A: b\rSet-Cookie: c", 2, `X-A: the value holds '\r': a header has printable ASCII only`},
		{"/a\xff\n  X-A: b", 1, "not UTF-8: write other bytes of a path as %XX"},
		{"/a\n  set-cookie: a=b", 2, "Set-Cookie cannot be set: sites of one host share their cookies"},
		{"/a\n  Content-Type: text/html", 2, "Content-Type cannot be set: the type of a file follows from its name"},
		{"/a\n  content-LENGTH: 1", 2, "Content-Length cannot be set: the web server sends it itself"},
		{"/a\n  Connection: close", 2, "Connection cannot be set: it is between two machines and not about the site"},
		{"/a\n  X-Accel-Redirect: /etc", 2, "X-Accel-Redirect cannot be set: it is between two machines and not about the site"},
		{"/a\n  Basic-Auth: u:p", 2, "Basic-Auth cannot be set: regfs does not ask for passwords"},
		{"/a\n  ! X-Frame-Options", 2, "taking a header away is not supported"},
		{"https://:p.pages.dev/*\n  X-A: b", 1, "https://:p.pages.dev/*: rules for a host are not supported: begin with the path"},
		{"/a/*/*\n  X-A: b", 1, "/a/*/*: more than one * in a path is not supported"},
		{"/a\n/b\n  X-A: b", 1, "/a has no headers: they come below it"},
		{"/a\n  X-A: " + strings.Repeat("b", MaxLine), 2, fmt.Sprintf("a line of %d bytes, more than %d", MaxLine+5, MaxLine)},
	} {
		_, wrong := ParseHeaders(c.text)
		if len(wrong) != 1 || wrong[0] != (Problem{"", c.line, c.want}) {
			t.Errorf("%.60q: got %v, want %q in line %d", c.text, wrong, c.want, c.line)
		}
	}
}

// Rules that come from elsewhere than the parser are checked all the same.
func TestSetsLeaveOutWhatMakesNoSense(t *testing.T) {
	s := NewSet([]Redirect{{From: "x", To: "/y", Status: 301}, {From: "/a", To: "//evil.example", Status: 301}, {From: "/b", To: "/c", Status: 999}},
		[]Headers{{For: "/*", Values: map[string]string{"Set-Cookie": "a=b"}}, {For: "/*", Values: map[string]string{"X-A": "b\r\nc"}}, {For: "x"}})
	for _, path := range []string{"/x", "/a", "/b"} {
		if got := leads(s, path); got != "" || s.Headers(path) != nil {
			t.Errorf("%s: got %q and %v, want nothing", path, got, s.Headers(path))
		}
	}
}

// What bundle says of headers is what the configuration does.
func TestTheConfigurationSendsTheseHeaders(t *testing.T) {
	conf, err := os.ReadFile("../../nginx/rules.conf")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(conf)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "auth_request_set" || strings.HasPrefix(f[1], "$regfs_rule_") && f[1] != "$regfs_rule_cache_control" {
			continue
		}
		if name, ok := strings.CutPrefix(strings.TrimSuffix(f[2], ";"), "$upstream_http_x_regfs_"); ok {
			got = append(got, name)
		}
	}
	var want []string
	for _, name := range sent {
		if name != "X-Content-Type-Options" { // regfs.conf sends it always
			want = append(want, strings.ReplaceAll(strings.ToLower(name), "-", "_"))
		}
		if name != canonical(name) {
			t.Errorf("%s is spelled %s", name, canonical(name))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
