package registry

import (
	"strings"
	"testing"
)

const someDigest = "sha256:57da3d5e6864dd20281f3e102267801094fcb2f8a77cefcc72f5307eb93acc5b"

func TestParseReference(t *testing.T) {
	for _, test := range []struct {
		in   string
		want Reference
	}{
		{"my-app", Reference{Host: "localhost:5000", Repository: "my-app"}},
		{"my-app:v1", Reference{Host: "localhost:5000", Repository: "my-app", Tag: "v1"}},
		{"my.app", Reference{Host: "localhost:5000", Repository: "my.app"}},
		{"team/docs", Reference{Host: "localhost:5000", Repository: "team/docs"}},
		{"localhost/docs", Reference{Host: "localhost", Repository: "docs"}},
		{"localhost:5001/docs:v1", Reference{Host: "localhost:5001", Repository: "docs", Tag: "v1"}},
		{"example.org/team/docs@" + someDigest, Reference{Host: "example.org", Repository: "team/docs", Digest: someDigest}},
		{"example.org/docs:v1@" + someDigest, Reference{Host: "example.org", Repository: "docs", Tag: "v1", Digest: someDigest}},
		{"http://registry/docs", Reference{Host: "http://registry", Repository: "docs"}},
		{"https://localhost:5000/docs:v1", Reference{Host: "https://localhost:5000", Repository: "docs", Tag: "v1"}},
		{"[::1]:5000/docs", Reference{Host: "[::1]:5000", Repository: "docs"}},
		{"docker.io/nginx", Reference{Host: "docker.io", Repository: "library/nginx"}},
		{"docker.io/team/nginx", Reference{Host: "docker.io", Repository: "team/nginx"}},
	} {
		got, err := ParseReference(test.in)
		if err != nil || got != test.want {
			t.Errorf("ParseReference(%q): got %+v, %v, want %+v", test.in, got, err, test.want)
		}
	}
}

func TestParseReferenceAtAnotherRegistry(t *testing.T) {
	for _, test := range []struct {
		in   string
		want Reference
	}{
		{"docs:v1", Reference{Host: "http://example.org:80", Repository: "docs", Tag: "v1"}},
		{"localhost:5000/docs", Reference{Host: "localhost:5000", Repository: "docs"}},
		{"https://other.org/docs", Reference{Host: "https://other.org", Repository: "docs"}},
	} {
		got, err := ParseReferenceAt("http://example.org:80", test.in)
		if err != nil || got != test.want {
			t.Errorf("ParseReferenceAt(%q): got %+v, %v, want %+v", test.in, got, err, test.want)
		}
	}
	if _, err := ParseReferenceAt("ftp://x", "docs"); err == nil {
		t.Error("ParseReferenceAt of a registry that is none: got no error")
	}
}

func TestParseReferenceSaysWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "not a repository name",
		"http://":                      "not HOST or HOST:PORT",
		"http://docs":                  "not a repository name",
		"example.org/":                 "not a repository name",
		"Docs":                         "not a repository name",
		"docs:":                        "not a tag",
		"docs:-v1":                     "not a tag",
		"docs@sha256:12":               "digest",
		"docs@":                        "digest",
		"host:99999/docs":              "not HOST or HOST:PORT",
		"host:/docs":                   "not HOST or HOST:PORT",
		"http://user:secret@host/docs": `registry "host" is written with a user or password`,
		"example.org/a/../b":           "not a repository name",
		"ftp://example.org/docs":       "not HOST or HOST:PORT",
		"exa mple.org/docs":            "not HOST or HOST:PORT",
	} {
		_, err := ParseReference(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseReference(%q): got error %v, want one with %q", in, err, want)
		}
	}
}

// A path that somebody asks a web server for must not become a host.
func TestOnlyAHostBecomesTheHost(t *testing.T) {
	for _, in := range []string{"evil/x", "docs", "a/b:v1"} {
		ref, err := ParseReference(in)
		if err != nil || ref.Host != DefaultHost {
			t.Errorf("ParseReference(%q): got host %q, %v, want %q", in, ref.Host, err, DefaultHost)
		}
	}
}

func TestReferenceString(t *testing.T) {
	for in, want := range map[string]string{
		"docs:v1":                            "localhost:5000/docs:v1",
		"http://registry/docs@" + someDigest: "registry/docs@" + someDigest,
	} {
		ref, err := ParseReference(in)
		if got := ref.String(); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestSchemeOfHosts(t *testing.T) {
	for in, want := range map[string]string{
		"localhost:5000": "http", "127.0.0.1:5000": "http", "127.1.2.3": "http", "[::1]:5000": "http", "x.localhost": "http",
		"example.org": "https", "10.0.0.1:5000": "https", "registry:5000": "https",
		"http://example.org": "http", "https://localhost:5000": "https", "http://10.0.0.1": "http",
	} {
		c, err := New(in)
		if err != nil {
			t.Errorf("New(%q): %v", in, err)
			continue
		}
		if c.scheme != want {
			t.Errorf("New(%q): got scheme %q, want %q", in, c.scheme, want)
		}
	}
	for _, in := range []string{"", "a/b", "a b", "user@host", "host:0", "host:x", "::1", "http://", "host?x", "host#x", "%41"} {
		if _, err := New(in); err == nil {
			t.Errorf("New(%q): got no error", in)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"docs", "localhost:5000/a/b:v1", "http://h/a@" + someDigest, "[::1]:1/a", "a.b/c", "docker.io/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseReference(s)
		if err != nil {
			return
		}
		if !ValidRepository(ref.Repository) || ref.Tag != "" && !ValidTag(ref.Tag) {
			t.Errorf("%q: got the invalid %+v", s, ref)
		}
		if _, err := New(ref.Host); err != nil {
			t.Errorf("%q: got host %q: %v", s, ref.Host, err)
		}
		scheme, _ := cutScheme(ref.Host)
		again, err := ParseReference(scheme + ref.String())
		again.Host, ref.Host = strings.TrimPrefix(again.Host, scheme), strings.TrimPrefix(ref.Host, scheme)
		if err != nil || again != ref {
			t.Errorf("%q: got %+v, then from its String %+v, %v", s, ref, again, err)
		}
	})
}
