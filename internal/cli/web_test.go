package cli

import "testing"

func TestAVersionHasTwoAddresses(t *testing.T) {
	for web, want := range map[string][2]string{
		"http://localhost:8080":    {"http://v1-2--team--docs.sites.localhost:8080/", "http://localhost:8080/team/docs/v1.2/"},
		"https://www.example.org/": {"https://v1-2--team--docs.sites.www.example.org/", "https://www.example.org/team/docs/v1.2/"},
		"":                         {"", ""},
	} {
		var w Web
		if err := w.Set(web); err != nil {
			t.Errorf("%q: %v", web, err)
		}
		if host, path := w.Addresses("team/docs", "v1.2"); [2]string{host, path} != want {
			t.Errorf("%q: got %q and %q, want %q", web, host, path, want)
		}
	}
}

func TestOnlyTheURLOfAServerIsTaken(t *testing.T) {
	for _, s := range []string{"localhost:8080", "ftp://a", "http://", "http://a/b", "http://a?b", "http://u@a", "http://a b", "//a", "x"} {
		w := Web("before")
		if err := w.Set(s); err == nil || w != "before" {
			t.Errorf("%q: got %q, %v; want an error", s, w, err)
		}
	}
}
