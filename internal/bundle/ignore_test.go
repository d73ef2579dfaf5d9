package bundle

import (
	"strings"
	"testing"
)

// What git says of these was looked up with git check-ignore.
func TestIgnoreRulesMeanWhatGitMeans(t *testing.T) {
	for _, c := range []struct {
		rules   string // of the root
		ignored string // names that end in a slash are folders
		kept    string
	}{
		{"", ".git .git/ a/.git/ .DS_Store a/.DS_Store .regfsignore a/.regfsignore", "a .gitignore .github/ .regfs"},
		{"!.git", ".git/", ""},
		{"*.log", "a.log b/a.log", "log a.log.txt"},
		{"tmp", "tmp tmp/ a/tmp/", "tmpx atmp"},
		{"tmp/", "tmp/ a/tmp/", "tmp a/tmp"},
		{"/tmp", "tmp tmp/", "a/tmp"},
		{"a/b", "a/b a/b/", "c/a/b"},
		{"*.log\n!keep.log", "a.log b/a.log", "keep.log b/keep.log"},
		{"!keep.log\n*.log", "keep.log", ""},
		{"*.log\n!keep/", "keep/a.log", "keep/"},
		{"*.tmp\n!/foo", "foo/x.tmp", "foo foo/"},
		{"/*\n!/foo", "bar a.txt", "foo foo/ foo/x foo/bar/x"},
		{"abc/**", "abc/x abc/y/", "abc abc/ x/abc/"},
		{"abc/**\n!abc/keep", "abc/x", "abc/ abc/keep"},
		{"**/foo", "foo a/foo a/b/foo/", "foox"},
		{"a/**/b", "a/b a/x/b a/x/y/b", "b a/x"},
		{"[!ab].txt", "c.txt", "a.txt b.txt"},
		{"[ab].txt", "a.txt", "c.txt"},
		{"?.txt", "a.txt", "ab.txt .txt"},
		{"# comment\n\\#x\n\\!y", "#x !y", "x y # comment"},
		{"a.txt  \r\nb.txt\r\n", "a.txt b.txt", ""},
		{"\ufeffa.txt", "a.txt", ""},
	} {
		rules, err := parseIgnore(".", c.rules)
		if err != nil {
			t.Errorf("%q: %v", c.rules, err)
			continue
		}
		for name, want := range names(c.ignored, c.kept) {
			p, isDir := strings.CutSuffix(name, "/")
			if got := rules.ignores(p, isDir); got != want {
				t.Errorf("%q: %q: got ignored %v, want %v", c.rules, name, got, want)
			}
		}
	}
}

func names(ignored, kept string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(ignored) {
		m[n] = true
	}
	for _, n := range strings.Fields(kept) {
		m[n] = false
	}
	return m
}

func TestIgnoreRulesOfAFolderCountBelowIt(t *testing.T) {
	rules, err := parseIgnore("docs", "*.md\n/draft\nx/y\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range names("docs/a.md docs/b/a.md docs/draft docs/x/y", "docs/b/draft docs/b/x/y") {
		if got := rules.ignores(name, false); got != want {
			t.Errorf("%q: got ignored %v, want %v", name, got, want)
		}
	}
}

func TestIgnoreSpacesAtTheEndCountWhenQuoted(t *testing.T) {
	rules, err := parseIgnore(".", `a\ `+"\nb ")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"a ": true, "a": false, "b": true, "b ": false} {
		if got := rules.ignores(name, false); got != want {
			t.Errorf("%q: got ignored %v, want %v", name, got, want)
		}
	}
}

func TestIgnoreErrorsNameTheLine(t *testing.T) {
	_, err := parseIgnore(".", "fine\n\n[a\n")
	if err == nil || !strings.HasPrefix(err.Error(), `3: "[a"`) {
		t.Errorf("got %v, want an error at line 3", err)
	}
}

func FuzzParseIgnore(f *testing.F) {
	for _, s := range []string{"*.log\n!keep\n/a/**/b\n", "[!a]\n\\ \n", "**\n/**\n/\n!\n//\n", "a/**\n"} {
		f.Add(s, "a/b/c", true)
	}
	f.Fuzz(func(t *testing.T, text, name string, isDir bool) {
		if name = strings.Trim(name, "/"); name == "" {
			return
		}
		if rules, err := parseIgnore(".", text); err == nil {
			rules.ignores(name, isDir)
		}
	})
}
