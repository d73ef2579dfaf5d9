package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// site is a folder of files to be: paths and content.
type site map[string][]byte

// smallSite has what real sites have: pages in folders, an empty file, names
// that need escaping, a file of some megabytes.
func smallSite() site {
	return site{
		"index.html":               []byte("<!doctype html><title>small</title><h1>small</h1>\n"),
		"404.html":                 []byte("<h1>not here</h1>\n"),
		"css/style.css":            []byte("h1 { color: teal }\n"),
		"docs/index.html":          []byte("<h1>docs</h1>\n"),
		"docs/a b/ü & ?.txt":       []byte("names are bytes\n"),
		"docs/deep/er/page.html":   []byte("<p>deep</p>\n"),
		"empty.txt":                {},
		"js/app.js":                bytes.Repeat([]byte("console.log('hello')\n"), 500),
		"media/noise.bin":          noise(1, 3<<20),
		"media/more/noise.bin":     noise(2, 100_000),
		"media/more/equal.bin":     noise(2, 100_000),
		".well-known/security.txt": []byte("Contact: mailto:security@example.com\n"),
	}
}

// manyFiles is n files of size bytes that no compressor makes smaller, a
// hundred to a folder.
func manyFiles(n, size int) site {
	s := make(site, n)
	for i := range n {
		s[fmt.Sprintf("d%02d/f%04d.bin", i/100, i)] = noise(uint64(i), size)
	}
	return s
}

// noise is size bytes that look random and are the same for the same seed.
func noise(seed uint64, size int) []byte {
	var key [32]byte
	copy(key[:], fmt.Sprint(seed))
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// with is a copy of s in which the files of more replace those of s.
func (s site) with(more site) site {
	c := maps.Clone(s)
	maps.Copy(c, more)
	return c
}

// write writes the site to a new folder and gives it.
func (s site) write(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(newDir(t), "app")
	for name, content := range s {
		file := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, content, 0o644))
	}
	return dir
}

// names lists the files of the site in order.
func (s site) names() []string { return slices.Sorted(maps.Keys(s)) }

// publish bundles and uploads the site and gives the digest of its index.
func (s site) publish(t testing.TB, host, repo, version string) string {
	t.Helper()
	return publishDir(t, s.write(t), host, repo, version)
}

// publishDir bundles and uploads a folder and gives the digest of its index.
func publishDir(t testing.TB, dir, host, repo, version string) string {
	t.Helper()
	images := bundle(t, dir, version)
	return upload(t, images, host, repo, version)
}

// bundle packs dir and gives the folder with the layout of version in it.
func bundle(t testing.TB, dir, version string, flags ...string) string {
	t.Helper()
	images := filepath.Join(newDir(t), "images")
	args := append([]string{version, "--dir", dir, "--out", images, "--cache", filepath.Join(scratch, "bundle")}, flags...)
	digest := succeed(t, "", command(t, "bundle"), args...)
	if !strings.HasPrefix(digest, "sha256:") || strings.Count(digest, "\n") != 1 {
		t.Fatalf("bundle printed %q, want one digest", digest)
	}
	return images
}

// upload pushes images/VERSION and gives the digest that upload printed.
func upload(t testing.TB, images, host, repo, version string) string {
	t.Helper()
	out := succeed(t, "", command(t, "upload"), version, host+"/"+repo, "--images", images)
	name, digest, ok := strings.Cut(strings.TrimSpace(out), "@")
	if !ok || name != host+"/"+repo || !strings.HasPrefix(digest, "sha256:") {
		t.Fatalf("upload printed %q, want %s/%s@sha256:…", out, host, repo)
	}
	return digest
}

// compareTree fails the test for every file and folder in which got differs
// from want: name, kind, bytes.
func compareTree(t testing.TB, want, got string) {
	t.Helper()
	wantFiles, gotFiles := list(t, want), list(t, got)
	if !slices.Equal(wantFiles, gotFiles) {
		t.Errorf("got files %q\nwant %q", gotFiles, wantFiles)
		return
	}
	for _, name := range wantFiles {
		if strings.HasSuffix(name, "/") {
			continue
		}
		w, err := os.ReadFile(filepath.Join(want, name))
		must(t, err)
		g, err := os.ReadFile(filepath.Join(got, name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(g, w) {
			t.Errorf("%s: got %d other bytes than the %d of the source", name, len(g), len(w))
		}
	}
}

// list lists files and folders below dir; folders end with a slash.
func list(t testing.TB, dir string) []string {
	t.Helper()
	var found []string
	must(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			path += "/"
		}
		found = append(found, path)
		return err
	}))
	return found
}
