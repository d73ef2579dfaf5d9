package registry

import (
	"regexp"
	"strings"
	"testing"
)

// The grammar as the distribution spec writes it.
var (
	specRepository = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	specTag        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

var names = []string{
	"my-app", "team/docs", "a", "a/b/c", "a.b", "a_b", "a__b", "a---b", "a1/b2", "0",
	"", "/", "a/", "/a", "a//b", "a/../b", "..", ".", "_catalog", ".x", "a.", "-a", "a-", "a..b", "a___b", "a._b", "a-_b",
	"A", "aB", "a b", "a\x00b", "ä", "a:b", "a@b", "v1", "V1.2_x", "_x", "a\n", "a/b/", "169.254.169.254/x",
	strings.Repeat("a", 255), strings.Repeat("a", 256), strings.Repeat("a", 128), strings.Repeat("a", 129),
}

func TestNamesAreThoseOfTheSpec(t *testing.T) {
	for _, name := range names {
		checkGrammar(t, name)
	}
}

func FuzzNames(f *testing.F) {
	for _, name := range names {
		f.Add(name)
	}
	f.Fuzz(checkGrammar)
}

func checkGrammar(t *testing.T, name string) {
	if got, want := ValidRepository(name), len(name) <= 255 && specRepository.MatchString(name); got != want {
		t.Errorf("ValidRepository(%q): got %v, want %v", name, got, want)
	}
	if got, want := ValidTag(name), specTag.MatchString(name); got != want {
		t.Errorf("ValidTag(%q): got %v, want %v", name, got, want)
	}
}
