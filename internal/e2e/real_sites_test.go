package e2e

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// realSite is a website that somebody else built, in an npm package.
type realSite struct {
	name, version string
	integrity     string // SHA-512 of the package, as "npm view NAME@VERSION dist.integrity" has it
	dir           string // of the site in the package
}

var realSites = []realSite{
	{"swagger-ui-dist", "5.17.14", "CVbSfaLpstV65OnSjbXfVd6Sta3q3F7Cj/yYuvHMp1P90LztOLs6PfUnKEVAeiIVQt9u2SaPwv0LiH/OyMjHRw==", "."},
	{"reveal.js", "5.1.0", "KDt7m0+xwKV6nAZt4CNPVFBf42sTKRQapg0bGGKB5PKO5XvChnMfwlZkybydHiQJ7p5+6LbHKRGrhXODdoNIaA==", "."},
	{"@verdaccio/ui-theme", "7.0.0-next-7.16", "pub3CMaGkUlQmuA5wLxS6n5NwMXsZRy3Gz8hACnidsZ8VET5AwXMNoWtL1/hVbBryclCQ4f3CFNlexcihy1KgA==", "static"},
	{"jquery-ui-dist", "1.13.2", "oVDRd1NLtTbBwpRKAYdIRgpWVDzeBhfy7Gu0RmY6JEaZtmBq6kDn1pm5SgDiAotrnDS+RoTRXO6xvcNTxA9tOA==", "."},
	{"html5-boilerplate", "9.0.1", "VNWLXEMlHEITjbpwUiFF6dUHaflkaikZq62cuWXVZNDSVBNHscT352jaAU0OZm0aXTT1m+XKtDDUiYWZBVDRGA==", "dist"},
	{"@vscode/codicons", "0.0.36", "wsNOvNMMJ2BY8rC2N2MNBG7yOowV3ov8KlvUE/AiVUlHKTfWsw3OgAOQduX7h0Un6GssKD3aoTVH+TF3DSQwKQ==", "."},
	{"@mdi/font", "7.4.47", "43MtGpd585SNzHZPcYowu/84Vz2a2g31TvPMTm9uTiCSWzaheQySUcSyUH/46fPnuPQWof2yd0pGBtzee/IQWw==", "."},
	{"pyodide", "0.26.2", "8VCRdFX83gBsWs6XP2rhG8HMaB+JaVyyav4q/EMzoV8fXH8HN6T5IISC92SNma6i1DRA3SVXA61S1rJcB8efgA==", "."},
	{"katex", "0.16.11", "RQrI8rlHY92OLf3rho/Ts8i/XvjgguEjOkO1BEXcU3N8BqPpSzBNwV/G0Ukr+P/l3ivvJUE/Fa/CwbS6HesGNQ==", "."},
	{"ckeditor4", "4.22.1", "Yj4vTHX5YxHwc48gNqUqTm+KLkRr9tuyb4O2VIABu4oKHWRNVIdLdy6vUNe/XNx+RiTavMejfA1MVOU/MxLjqQ==", "."},
	{"leaflet", "1.9.4", "nxS1ynzJOmOlHp+iL3FyWqK89GtNL8U8rvlMOsQdTTssxZwCXh8N2NB3GDQOL+YR3XnWyZAxwQixURb+FA74PA==", "dist"},
	{"rot-js", "2.2.1", "lItXH31vj4ebdypayCx9dh98qPr57E7jGW2lVMKxtBHooU3xpGRtLS8kdJIni232tvPJ8Sl0+aqXZj8c6W0MGw==", "doc"}, // what TypeDoc made
	{"tinymce", "7.3.0", "Ls4PgYlpk73XAxBSBqbVmSl8Mb3DuNfgF01GZ0lY6/MOEVRl3IL+VxC1Oe6165e8WqbqVsxO3Qj/PmoYNvQKGQ==", "."},
}

// TestRealSitesAreServedAsTheyAre publishes sites that were not made for us:
// documentation, slides, editors, fonts, a map, a Python in WebAssembly.
func TestRealSitesAreServedAsTheyAre(t *testing.T) {
	once(t)
	packages := npmPack(t, realSites)
	reg := startRegistry(t)
	dirs := map[string]string{} // by repository
	for _, s := range realSites {
		dirs[s.repository()] = s.unpack(t, packages)
		publishDir(t, dirs[s.repository()], reg.host, s.repository(), "v1")
	}
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	for repo, dir := range dirs {
		compareTree(t, dir, d.path(repo, "v1"))
		for _, name := range someFiles(t, dir, 40) {
			want, err := os.ReadFile(filepath.Join(dir, name))
			must(t, err)
			path := url.URL{Path: "/" + repo + "/v1/" + name}
			a := fetch(t, web.url+path.EscapedPath(), "Accept-Encoding", "gzip")
			if a.header.Get("Content-Encoding") == "gzip" {
				a.body = gunzip(t, a.body)
			}
			if a.status != http.StatusOK || !bytes.Equal(a.body, want) {
				t.Errorf("%s: got %d and %d other bytes than the %d of the source", path.Path, a.status, len(a.body), len(want))
			}
		}
	}
	b := startBrowser(t)
	b.do(chromedp.Navigate(web.url+"/reveal.js/v1/"), chromedp.WaitVisible(chromedp.CSS(".reveal.ready")))
}

// repository is where a site is published; a scope is a folder.
func (s realSite) repository() string { return strings.TrimPrefix(s.name, "@") }

// file is what npm calls the package.
func (s realSite) file() string {
	return strings.ReplaceAll(s.repository(), "/", "-") + "-" + s.version + ".tgz"
}

// unpack gives a folder with the site.
func (s realSite) unpack(t testing.TB, packages string) string {
	t.Helper()
	dir := newDir(t)
	succeed(t, "", "tar", "-xzf", filepath.Join(packages, s.file()), "-C", dir, "--strip-components=1", "--no-same-owner")
	return filepath.Join(dir, s.dir)
}

// npmPack fetches the packages that were not fetched before, and gives the
// folder in which they are.
func npmPack(t testing.TB, sites []realSite) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(root, ".data/npm"))
	must(t, err)
	must(t, os.MkdirAll(dir, 0o755))
	args := []string{"pack", "--silent", "--ignore-scripts", "--pack-destination", dir}
	missing := slices.DeleteFunc(slices.Clone(sites), func(s realSite) bool { return s.check(dir) })
	if len(missing) == 0 {
		return dir
	}
	need(t, "npm")
	for _, s := range missing {
		args = append(args, s.name+"@"+s.version)
	}
	succeed(t, newDir(t), "npm", args...)
	for _, s := range missing {
		if !s.check(dir) {
			t.Fatalf("%s@%s is not what it was: want integrity sha512-%s", s.name, s.version, s.integrity)
		}
	}
	return dir
}

// check tells whether the package is there, whole.
func (s realSite) check(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, s.file()))
	sum := sha512.Sum512(data)
	return err == nil && base64.StdEncoding.EncodeToString(sum[:]) == s.integrity
}

// someFiles are at most n files below dir, from all of it.
func someFiles(t testing.TB, dir string, n int) []string {
	t.Helper()
	files := slices.DeleteFunc(list(t, dir), func(name string) bool {
		return strings.HasSuffix(name, "/") || strings.HasPrefix(name, ".") || strings.Contains(name, "/.")
	})
	step := max(1, len(files)/n)
	var some []string
	for i := 0; i < len(files); i += step {
		some = append(some, files[i])
	}
	return some
}
