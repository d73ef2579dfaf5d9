package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
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
	for _, doc := range []string{"", "[]", "7", `{"rootDir": "app"`, `{} x`, `{"spa": true}` + strings.Repeat(" ", MaxConfigSize)} {
		if c, _, err := ParseConfig([]byte(doc)); err == nil {
			t.Errorf("%.40q: got %+v, want an error", doc, c)
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
