package rules

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSamples reads files as sites have them: requests says where paths lead,
// problems what is refused.
func TestSamples(t *testing.T) {
	dirs, err := filepath.Glob("testdata/samples/*")
	if err != nil || len(dirs) < 4 {
		t.Fatalf("got %q, %v; want the samples", dirs, err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			rules, wrong := ParseRedirects(read(t, filepath.Join(dir, "_redirects")))
			var got strings.Builder
			for _, p := range wrong {
				fmt.Fprintln(&got, p.Line, p)
			}
			if want := readIfThere(t, filepath.Join(dir, "problems")); got.String() != want {
				t.Errorf("got problems\n%s\nwant\n%s", got.String(), want)
			}
			checkRequests(t, NewSet(rules, nil), readIfThere(t, filepath.Join(dir, "requests")))
		})
	}
}

func checkRequests(t *testing.T, s *Set, text string) {
	t.Helper()
	var files []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case f[0] == "#":
		case f[0] == "file":
			files = append(files, newPath(f[1]).key())
		default:
			raw, query, has := strings.Cut(f[0], "?")
			request, err := url.PathUnescape(raw)
			if err != nil {
				t.Fatal(err)
			}
			if has {
				request += "?" + query
			}
			got, want := leads(s, request, files...), strings.Join(f[1:], " ")
			if want == "-" {
				want = ""
			}
			if got != want {
				t.Errorf("%s: got %q, want %q", f[0], got, want)
			}
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func readIfThere(t *testing.T, name string) string {
	t.Helper()
	if _, err := os.Stat(name); os.IsNotExist(err) {
		return ""
	}
	return read(t, name)
}
