package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestExplainTellsOfAPath asks about a file before and after it was read, and of
// paths that are not there or cannot be known.
func TestExplainTellsOfAPath(t *testing.T) {
	reg := startRegistry(t)
	s := manyFiles(300, 100_000) // 30 MB, which no single request fetches
	s["index.html"] = []byte("<h1>here</h1>\n")
	s.publish(t, reg.host, "team/docs", "v1")
	relay := startRelay(t, reg.host)
	d := mount(t, relay.host, never, "--listen="+freeAddress(t))
	ask := func(path string, want int) map[string]any {
		t.Helper()
		r := run(t, "", command(t, "regfs"), "explain", "--json", d.path(path))
		if r.code != want {
			t.Errorf("explain %s: got %+v, want exit code %d", path, r, want)
		}
		var x map[string]any
		must(t, json.Unmarshal([]byte(r.stdout), &x))
		return x
	}
	before := ask("team/docs/v1/d00/f0007.bin", 0)
	if before["local"] != 0.0 || before["cost"] != nil || before["size"] != 100_000.0 {
		t.Errorf("before it was read: got %v, want nothing of it in the cache, and no cost", before)
	}
	wantFile(t, d.path("team/docs/v1/d00/f0007.bin"), s["d00/f0007.bin"])
	after := ask("team/docs/v1/d00/f0007.bin", 0)
	if cost, _ := after["cost"].(map[string]any); after["local"] != 1.0 || cost["bytes"] == nil || !strings.HasPrefix(after["layer"].(string), "sha256:") {
		t.Errorf("after it was read: got %v, want it in the cache, with its layer and what it cost", after)
	}
	for path, is := range map[string]string{"": "folder of repositories or versions", "team": "folder of repositories or versions", "team/docs/v1/d00": "folder of a version"} {
		if got := ask(path, 0)["is"]; got != is {
			t.Errorf("%q: got %q, want %q", path, got, is)
		}
	}
	if got := ask("team/docs/v1/nothing", 4)["is"]; got != "missing" {
		t.Errorf("a name that the version has not: got %q, want missing", got)
	}
	relay.down()
	if got := ask("team/docs/v9", 3); got["is"] != "unknown" || got["reason"] == nil {
		t.Errorf("a tag that nobody can tell of: got %v, want unknown and why", got)
	}
	text := succeed(t, "", command(t, "regfs"), "explain", d.path("team/docs/v1/d00/f0007.bin"))
	for _, word := range []string{"team/docs/v1", "sha256:", "1 of 1 chunks", "100000 bytes"} {
		if !strings.Contains(text, word) {
			t.Errorf("explain printed %q, want %q in it", text, word)
		}
	}
}
