package hostname

import (
	"regexp"
	"strings"
	"testing"
)

// letDigHyp is the grammar of a host name's label. Source: RFC 1123, 2.1.
var letDigHyp = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func TestLabelsStayAsTheyAre(t *testing.T) {
	long := strings.Repeat("long", 12)
	for _, c := range []struct{ repo, tag, label string }{
		{"my-app", "v1", "v1--my-app"},
		{"my-app", "v1.2.3", "v1-2-3--my-app"},
		{"team/docs", "v3", "v3--team--docs"},
		{"a/b/c/d", "latest", "latest--a--b--c--d"},
		{"my-app", "feature-login", "feature-login--my-app"},
		{"my-app", "2024-05-01", "2024-05-01-my-app-jsnhf6nmmfkufzep"},
		{"my-app", "V1", "v1-my-app-jsnhiggvqk5d273y"},
		{"my-app", "Feature_X", "feature-x-my-app-jsnhfjmq6lj57ftg"},
		{"my-app", "v1.2.3-rc.1", "v1-2-3-rc-1-my-app-jsnhgzg56nuugu3h"},
		{"my-app", "_", "my-app-jsnhqnbcqylcezin"},
		{"my-app", "xn", "xn-my-app-jsnhov6aqpcit6jv"},
		{"my_app", "v1", "v1-my-app-h7syx6yszx32sruu"},
		{"my--app", "v1", "v1-my-app-on352go36mps3aks"},
		{long, "v1.0.0", "v1-0-0--" + long},
		{long, "v1.0.0-alpha", "v1-0-0-alpha--" + long},
		{long, "v1.0.0-alphabet", "v1-0-0-alphabet-longlonglonglonglonglonglonglo-j5h52grqn6xkyz2a"},
	} {
		if got := Label(c.repo, c.tag); got != c.label {
			t.Errorf("%s:%s: got %q, want %q", c.repo, c.tag, got, c.label)
		}
	}
}

func TestLabelsThatNobodyWritesNameNothing(t *testing.T) {
	for _, label := range []string{
		"", "--", "v1", "v1--", "--my-app", "v1----my-app", "v1--my-app--", "v1---my-app", "-v1--my-app", "v1.2--my-app",
		"V1--my-app", "xn--my-app", "v1--my_app", "v1--" + strings.Repeat("a", 60), "2024-05-01-my-app-jsnhf6nmmfkufzep",
	} {
		if repo, tag, ok := Parse(label); ok {
			t.Errorf("%q: got %s:%s, want nothing", label, repo, tag)
		}
		for _, repo := range []string{"", "my_app", "a"} {
			if MayBeOf(repo, label) {
				t.Errorf("%q is taken for a label of %q", label, repo)
			}
		}
	}
}

// TestDifferentTagsHaveDifferentLabels takes names that a careless encoding
// would write alike.
func TestDifferentTagsHaveDifferentLabels(t *testing.T) {
	seen := map[string]string{}
	for _, repo := range []string{"a", "a/b", "a-b", "a--b", "a.b", "a_b", "a__b", "ab", "1.2", "1-2", "1/2", "12", "b/a"} {
		for _, tag := range []string{"a", "A", "a-b", "a.b", "a_b", "a--b", "1", "1.2", "1-2", "1_2", "1.2.3", "1-2.3", "1.2-3", "12", "-", "a-", "_a", "xn"} {
			name, label := repo+":"+tag, Label(repo, tag)
			if other, ok := seen[label]; ok {
				t.Errorf("%s and %s are both %s", name, other, label)
			}
			seen[label] = name
		}
	}
}

func FuzzLabel(f *testing.F) {
	for _, s := range []string{"v1", "v1.2.3", "1-2", "a--b", "UPPER", "_x.y-", "ä", "xn", strings.Repeat("x", 128)} {
		f.Add("my-app", s)
		f.Add(s, "v1")
		f.Add("team/"+s, s)
	}
	f.Fuzz(func(t *testing.T, repo, tag string) {
		if !regexp.MustCompile(`[a-z0-9]`).MatchString(repo) {
			return // no repository has that name
		}
		label := Label(repo, tag)
		if !letDigHyp.MatchString(label) {
			t.Errorf("%q:%q: %q is no label", repo, tag, label)
		}
		if strings.HasPrefix(label, "xn--") {
			t.Errorf("%q:%q: %q would be taken for punycode", repo, tag, label)
		}
		if gotRepo, gotTag, ok := Parse(label); ok != strings.Contains(label, "--") || ok && (gotRepo != repo || gotTag != tag) {
			t.Errorf("%q:%q became %q, which is %q:%q, %v", repo, tag, label, gotRepo, gotTag, ok)
		} else if !ok && !MayBeOf(repo, label) {
			t.Errorf("%q is not taken for a label of %q", label, repo)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("v1-2--team--docs")
	f.Add("xn--a")
	f.Fuzz(func(t *testing.T, label string) {
		if repo, tag, ok := Parse(label); ok && Label(repo, tag) != label {
			t.Errorf("%q is taken for %s:%s, which is written %q", label, repo, tag, Label(repo, tag))
		}
		MayBeOf("my-app", label)
	})
}
