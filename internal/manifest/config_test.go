package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/regfs/regfs/internal/rules"
)

func TestConfigStaysInsideTheLayer(t *testing.T) {
	for root, want := range map[string]string{
		`"app"`: "app", `""`: ".", `"."`: ".", `"a/b"`: "a/b",
		`".."`: "", `"/app"`: "", `"a/../.."`: "", `7`: "", `["a"]`: "", `"a\u0000"`: "a\x00",
	} {
		got, _, err := ParseConfig([]byte(`{"mediaType": "` + MediaTypeConfig + `", "rootDir": ` + root + `}`))
		if want == "" && err == nil || want != "" && (err != nil || got.RootDir != want) {
			t.Errorf("rootDir %s: got %q, %v; want %q", root, got.RootDir, err, want)
		}
	}
	if got, _, err := ParseConfig([]byte(`{}`)); err != nil || got.RootDir != "." {
		t.Errorf("got %q, %v; want the whole layer", got.RootDir, err)
	}
}

// The bytes of these configurations are for ever: their digests are in manifests.
func TestEncodeGolden(t *testing.T) {
	for _, c := range []struct{ name, settings, want string }{
		{"nothing set", `{}`, ``},
		{"what is at its default", `{"spa": false, "$schema": "docs/site.schema.json"}`, ``},
		{"spa", `{"spa":true}`, `,
  "spa": true`},
		{"rules", `{"headers": [{"values": {"x-frame-options": "DENY", "Link": "</a>; rel=preload"}, "for": "/*"}],
			"redirects": [{"to": "/b?x&y", "from": "/a"}, {"from": "/app/*", "to": "/app/:splat.html", "status": 200, "force": true}]}`, `,
  "redirects": [
    {
      "from": "/a",
      "to": "/b?x&y",
      "status": 301
    },
    {
      "from": "/app/*",
      "to": "/app/:splat.html",
      "status": 200,
      "force": true
    }
  ],
  "headers": [
    {
      "for": "/*",
      "values": {
        "Link": "</a>; rel=preload",
        "X-Frame-Options": "DENY"
      }
    }
  ]`},
		{"keys of others, in order, as they were", `{"zoo": {"b": 1.50, "a": "<&\u00e9>"}, "spa": true, "Spa": [ ], "": null}`, `,
  "spa": true,
  "": null,
  "Spa": [],
  "zoo": {
    "b": 1.50,
    "a": "<&\u00e9>"
  }`},
	} {
		s, problems := ParseSettings([]byte(c.settings))
		if problems != nil {
			t.Errorf("%s: got %v, want no problem", c.name, problems)
			continue
		}
		got, err := Config{RootDir: "app", Settings: s}.Encode()
		want := "{\n  \"mediaType\": \"application/vnd.alembic.app.config.v1+json\",\n  \"rootDir\": \"app\"" + c.want + "\n}"
		if err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v; want %s", c.name, got, err, want)
		}
	}
}

func TestProblemsOfSettingsHaveLines(t *testing.T) {
	for _, c := range []struct {
		doc  string
		want []string
	}{
		{"", []string{"1: not a JSON object"}},
		{"[]", []string{"1: not a JSON object"}},
		{"{\n\"spa\": true", []string{"2: unexpected EOF"}},
		{"{\n\n\"spa\": tru}", []string{"3: invalid character '}' in literal true (expecting 'e')"}},
		{"{}\n{}", []string{"2: something follows the JSON object"}},
		{"{\"a\":\n\"\xff\"}", []string{"2: not UTF-8"}},
		{"{\n\"spa\":\n \"yes\"}", []string{"3: spa: \"yes\" is neither true nor false"}},
		{"{\"spa\": 1,\n\"spa\": true}", []string{"1: spa: 1 is neither true nor false", "2: spa: is there twice"}},
		{"{\n\"x\":1, \"x\"\n:2}", []string{"3: x: is there twice"}},
		{"{\"rootDir\": \"app\"}", []string{"1: rootDir: is filled in when the site is packed: leave it out"}},
		{"{\"redirects\": {}}", []string{"1: redirects: {} is not a list"}},
		{"{\"redirects\": [\n1,\n{\"from\": 7,\n\"to\": \"/b\", \"status\": 301.5}]}",
			[]string{"2: redirects[0]: 1 is not an object", "3: redirects[1].from: 7 is not a string", "4: redirects[1].status: 301.5 is not a whole number"}},
		{"{\"redirects\": [\n{\"from\": \"/a\", \"to\": \"/b\"},\n{\"from\": \"/a\", \"to\": \"b\"}]}",
			[]string{"3: redirects[1]: b: a target is a path that begins with a slash, or a URL that begins with https:// or http://"}},
		{"{\"redirects\": [{\"from\": \"/a\", \"to\": \"/b\",\n\"country\": \"de\"}]}",
			[]string{"2: redirects[0].country: is not supported: a redirect has from, to, status and force"}},
		{"{\"headers\": [{\"for\": \"/*\",\n\"values\": {\"Set-Cookie\": \"a=b\"}}]}",
			[]string{"1: headers[0]: Set-Cookie cannot be set: sites of one host share their cookies"}},
		{"{\"headers\": [{\"for\": \"/*\",\n\"values\": [], \"if\": 1}]}",
			[]string{"2: headers[0].values: [] is not an object", "2: headers[0].if: is not supported: a rule has for and values"}},
		{"{\"headers\":\n[{\"for\": \"/*\"}]}", []string{"2: headers[0]: /* has no headers"}},
		{"{\"mediaType\": 1}", []string{"1: mediaType: is filled in when the site is packed: leave it out"}},
		{`{"x": "` + strings.Repeat("x", MaxConfigSize) + `"}`, []string{fmt.Sprintf("1: %d bytes, more than %d", MaxConfigSize+9, MaxConfigSize)}},
	} {
		_, problems := ParseSettings([]byte(c.doc))
		var got []string
		for _, p := range problems {
			got = append(got, fmt.Sprintf("%d: %s", p.Line, p))
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%.80q: got %q, want %q", c.doc, got, c.want)
		}
	}
}

// A site is served without a setting that makes no sense.
func TestReadersTakeWhatMakesSense(t *testing.T) {
	c, problems, err := ParseConfig([]byte(`{"mediaType": 7, "rootDir": "app", "spa": "yes", "new": {"spa": 1}}`))
	if err != nil || c.SPA || c.RootDir != "app" || len(problems) != 1 || len(c.Other) != 1 {
		t.Errorf("got %+v, %v, %v; want one problem", c, problems, err)
	}
	c, problems, err = ParseConfig([]byte(`{"rootDir": "app", "spa": true}`))
	if err != nil || !c.SPA || problems != nil {
		t.Errorf("got %+v, %v, %v; want spa and no problem", c, problems, err)
	}
	c, problems, err = ParseConfig([]byte(`{"redirects": [{"from": "/a", "to": "/b", "if": 1}, {"from": "/c", "to": "/d"}, 7],
		"headers": [{"for": "/*", "values": {"Set-Cookie": "a=b"}}, {"for": "/a", "values": {"X-A": "b"}}]}`))
	if err != nil || len(problems) != 3 || len(c.Redirects) != 1 || c.Redirects[0].From != "/c" || len(c.Headers) != 1 || c.Headers[0].For != "/a" {
		t.Errorf("got %+v, %v, %v; want the rules that make sense", c, problems, err)
	}
	for _, doc := range []string{"", "[]", "7", `{"rootDir": "app"`, `{} x`, `{"spa": true}` + strings.Repeat(" ", MaxConfigSize)} {
		if c, _, err := ParseConfig([]byte(doc)); err == nil {
			t.Errorf("%.40q: got %+v, want an error", doc, c)
		}
	}
}

func TestRulesOfStrangersAreBounded(t *testing.T) {
	many := func(n int, item string) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }
	for _, c := range []struct {
		key, list string
		want      int
	}{
		{"redirects", many(rules.MaxRedirects, `{"from":"/a","to":"/b"}`), rules.MaxRedirects},
		{"redirects", many(rules.MaxRedirects+9, `{"from":"/a","to":"/b"}`), rules.MaxRedirects},
		{"redirects", many(rules.MaxPatterns+9, `{"from":"/*","to":"/b"}`), rules.MaxPatterns},
		{"headers", many(rules.MaxHeaders+9, `{"for":"/a","values":{"X-A":"b"}}`), rules.MaxHeaders},
		{"headers", many(rules.MaxHeaders, `{"for":"/*","values":{"X-A":"`+strings.Repeat("b", 1000)+`"}}`), 0},
	} {
		got, problems, err := ParseConfig([]byte(`{"` + c.key + `":` + c.list + `}`))
		if n := len(got.Redirects) + len(got.Headers); err != nil || n != c.want || len(problems) > 9 {
			t.Errorf("%.80s: got %d rules, %d problems, %v; want %d rules", c.list, n, len(problems), err, c.want)
		}
	}
}

func TestBlobsThatReadersRefuseAreNotMade(t *testing.T) {
	c := Config{RootDir: "app", Settings: Settings{Other: map[string]json.RawMessage{"x": json.RawMessage(`"` + strings.Repeat("x", MaxConfigSize) + `"`)}}}
	if _, err := c.Encode(); err == nil {
		t.Error("a blob of more than MaxConfigSize was made")
	}
}

// What was read is written in one form, which reads as the same.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"mediaType": "x", "rootDir": "app"}`))
	f.Add([]byte(`{"rootDir": "", "spa": true, "x": [1, {"y": 1e400}], "x": 2}`))
	f.Add([]byte(`{"redirects": [{"from": "/a/:b/*", "to": "/:splat?x=:b", "status": 302}, 7], "headers": [{"for": "/*", "values": {"x-a": "b", "X-A": 1}}]}`))
	f.Add([]byte("{\"spa\":\n\"yes\", \"SPA\": true}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ParseSettings(data)
		c, _, err := ParseConfig(data)
		if err != nil {
			return
		}
		first, err := c.Encode()
		if err != nil {
			return // more than readers take
		}
		again, problems, err := ParseConfig(first)
		if err != nil || problems != nil {
			t.Fatalf("%q: got %v, %v; want no error", first, problems, err)
		}
		second, err := again.Encode()
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("got %q, %v; want %q", second, err, first)
		}
	})
}
