package registry

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Whatever stands around it, an address gives away neither user nor signature.
func FuzzClean(f *testing.F) {
	f.Add("see ", " for more", "/path")
	f.Add("\x1b[31m", "\r\n", "")
	f.Add(`{"message": "`, `"}`, "/a%20b")
	f.Add("https://a@b?c=d ", "ä", ":5000/\xff")
	f.Fuzz(func(t *testing.T, before, after, path string) {
		const secret = "S3CR3T-S3CR3T"
		if strings.ContainsAny(path, " \t\n\r\"?'<>") || strings.Contains(before+path+after, "S3CR3T") {
			return
		}
		got := clean(before + " https://me:" + secret + "@host" + path + "?x=1&sig=" + secret + " " + after)
		if strings.Contains(got, secret) {
			t.Errorf("got %q", got)
		}
		if len(got) > maxQuote+len("…") || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("got %q, want a short clean line", got)
		}
	})
}

func TestAddressesAreQuotedWithoutSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"https://me:p@ss:w@rd@host/path?sig=x":             "https://host/path",
		`Get "https://host/p?sig=x&y=z": EOF`:              `Get "https://host/p": EOF`,
		"/blob?sig=x is gone":                              "/blob is gone",
		"who? me = you":                                    "who? me = you",
		"socks5://me:x@proxy:1080 refused":                 "socks5://proxy:1080 refused",
		"a@b.example wrote https://host/@scope/package":    "a@b.example wrote https://host/@scope/package",
		"<Location>https://h/?sig=x</Location> <a href=y>": "<Location>https://h/</Location> <a href=y>",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
