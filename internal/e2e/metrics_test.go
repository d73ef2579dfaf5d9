package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// operating is the document that names the metrics.
const operating = root + "/docs/operating.md"

// TestMetricsAreThoseOfTheDocument compares what a daemon in use gives with what
// the document says of it.
func TestMetricsAreThoseOfTheDocument(t *testing.T) {
	reg := startRegistry(t)
	s := smallSite()
	s.publish(t, reg.host, "my-app", "v1")
	address := freeAddress(t)
	d := mount(t, reg.host, quick, "--listen="+address)
	compareTree(t, s.write(t), d.path("my-app/v1"))
	if _, err := os.Stat(d.path("UPPER")); !os.IsNotExist(err) {
		t.Errorf("a name that cannot exist: got %v", err)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if a := fetch(t, "http://"+address+path); a.status != http.StatusOK {
			t.Errorf("%s: got %d %q, want 200", path, a.status, a.body)
		}
	}
	text := string(fetch(t, "http://"+address+"/metrics").body)
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (regfs_\S+) `).FindAllStringSubmatch(text, -1) {
		got = append(got, m[1])
	}
	doc, err := os.ReadFile(filepath.FromSlash(operating))
	must(t, err)
	var want []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(regfs_[a-z_]+)").FindAllStringSubmatch(string(doc), -1) {
		if m[1] != "regfs_fuse_failures_total" { // there is none before there is a failure
			want = append(want, m[1])
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got metrics %q\nthe document has %q", got, want)
	}
	for _, line := range []string{`regfs_registry_requests_total{kind="manifest",status="200"} `, `regfs_fuse_request_duration_seconds_count{op="lookup"} `, "regfs_healthy 1"} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q in the metrics", line)
		}
	}
}
