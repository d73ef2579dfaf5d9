// Package regfs_test pins the shape of the project: who may import whom, and
// who may use which library. Arrows only go down.
package regfs_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/regfs/regfs"

// mayImport is the architecture. Each package is listed with those of ours that
// its code may import; tests may import more. One that is not here has no place
// yet: find it one, then list it.
var mayImport = map[string][]string{
	"cmd/bundle": {"fs", "registry", "internal/..."},
	"cmd/regfs":  {"fs", "registry", "internal/..."},
	"cmd/upload": {"fs", "registry", "internal/..."},

	"fs":                 {"internal/namespace", "internal/site", "internal/tree"},
	"internal/namespace": {"registry", "internal/site", "internal/hostname", "internal/manifest", "internal/cache", "internal/tree"},
	"internal/site":      {"registry", "internal/layer", "internal/manifest", "internal/cache", "internal/rules", "internal/tree"},
	"internal/bundle":    {"internal/layer", "internal/manifest", "internal/rules"},
	"internal/layer":     {"internal/tree"},
	"internal/compare":   {"internal/tree"},
	"internal/metrics":   {"registry", "internal/namespace"},
	"internal/cli":       {"registry", "internal/hostname"},
	"internal/front":     {"internal/namespace", "internal/site", "internal/compare", "internal/hostname", "internal/tree"},

	"registry":          {},
	"internal/hostname": {},
	"internal/manifest": {"internal/rules"},
	"internal/rules":    {},
	"internal/cache":    {},
	"internal/tree":     {},
	"internal/notify":   {},
	"internal/web":      {},

	// Tests use it.
	"internal/testregistry": {"registry", "internal/bundle"},

	// It measures the commands from outside.
	"bench": {},

	// Only tests live here.
	"":             {},
	"nginx":        {},
	"internal/e2e": {},
}

// mayUse says which packages may import the libraries that would be everywhere
// otherwise.
var mayUse = map[string][]string{
	"github.com/google/go-containerregistry":           {"registry", "internal/testregistry"},
	"github.com/hanwen/go-fuse":                        {"fs"},
	"github.com/prometheus/client_golang":              {"internal/metrics"},
	"github.com/containerd/stargz-snapshotter/estargz": {}, // tests compare with it
	"oras.land/oras-go":                                {},
	"testing":                                          {"internal/testregistry"},
	"net/http/httptest":                                {"internal/testregistry"},
	"go.uber.org/goleak":                               {},
	"github.com/google/go-cmp":                         {},
	"github.com/anishathalye/porcupine":                {},
	"github.com/rogpeppe/go-internal":                  {},
	"github.com/chromedp/chromedp":                     {},
}

// listed is what go list says of a package.
type listed struct {
	ImportPath string
	Dir        string
	Name       string
	GoFiles    []string
	Imports    []string
	Module     *struct{ Main bool }
}

func (p listed) ours() bool { return p.Module != nil && p.Module.Main }

// short is the path of a package of ours below the module's.
func short(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

// packages are all of ours and all that they are built from.
func packages(t *testing.T) []listed {
	t.Helper()
	readFolders(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-json=ImportPath,Dir,Name,GoFiles,Imports,Module", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}

// readFolders looks at every folder of the module, so that go test does not
// take a result from its cache after any of them has changed: it knows what a
// test reads, but not what go list does.
func readFolders(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // a folder that goes away meanwhile holds no package
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func ours(t *testing.T) []listed {
	t.Helper()
	own := slices.DeleteFunc(packages(t), func(p listed) bool { return !p.ours() })
	if len(own) < 3 {
		t.Fatalf("go list found %d packages of ours", len(own))
	}
	return own
}

// covers tells whether a list like those of mayImport holds a package.
func covers(list []string, pkg string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		prefix, all := strings.CutSuffix(entry, "...")
		return entry == pkg || all && strings.HasPrefix(pkg, prefix)
	})
}

func TestArrowsOnlyGoDown(t *testing.T) {
	for _, p := range ours(t) {
		name := short(p.ImportPath)
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %q is not in mayImport: say there what it may import", name)
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module+"/") && !covers(allowed, short(imported)) {
				t.Errorf("%s imports %s; it may import %q", name, short(imported), allowed)
			}
		}
	}
}

func TestEachLibraryHasItsPlace(t *testing.T) {
	for _, p := range ours(t) {
		for _, imported := range p.Imports {
			for library, users := range mayUse {
				is := imported == library || strings.HasPrefix(imported, library+"/")
				if is && !slices.Contains(users, short(p.ImportPath)) {
					t.Errorf("%s imports %s; only %q may", short(p.ImportPath), imported, users)
				}
			}
		}
	}
}

// TestCommandsAreBuiltWithoutTestLibraries sees what comes in by way of others.
func TestCommandsAreBuiltWithoutTestLibraries(t *testing.T) {
	for _, p := range packages(t) {
		for library, users := range mayUse {
			if len(users) == 0 && (p.ImportPath == library || strings.HasPrefix(p.ImportPath, library+"/")) {
				t.Errorf("%s is linked into what we build", p.ImportPath)
			}
		}
	}
}

// ignorance matches the words with which a package says what it does not know.
var ignorance = regexp.MustCompile(`\b(knows? (nothing|neither|no)|not know|imports nothing)\b`)

func TestPackagesSayWhatTheyDoNotKnow(t *testing.T) {
	for _, p := range ours(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		doc := packageDoc(t, p)
		switch {
		case doc == "":
			t.Errorf("%s has no package comment", short(p.ImportPath))
		case p.Name != "main" && !ignorance.MatchString(doc):
			t.Errorf("the package comment of %s does not say what it does not know (looked for %s)", short(p.ImportPath), ignorance)
		}
	}
}

// packageDoc is the package comment on one line.
func packageDoc(t *testing.T, p listed) string {
	t.Helper()
	var doc strings.Builder
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		doc.WriteString(f.Doc.Text())
	}
	return strings.Join(strings.Fields(doc.String()), " ")
}

// helperName matches files that look as if they were for tests. That they do
// not import testing is seen elsewhere.
var helperName = regexp.MustCompile(`(?i)(test|mock|fake|stub|helper|fixture)`)

func TestHelpersOfTestsAreTestFiles(t *testing.T) {
	for _, p := range ours(t) {
		for _, name := range p.GoFiles {
			if helperName.MatchString(name) {
				t.Errorf("%s/%s: what is for tests belongs into a _test.go file", short(p.ImportPath), name)
			}
		}
	}
}
