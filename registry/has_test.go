package registry

import (
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestAskingAgainCostsARegistryLittle: a real registry says 304 to who knows a
// tag's digest, and the new digest once it is another.
func TestAskingAgainCostsARegistryLittle(t *testing.T) {
	c := newClient(t, startRegistry(t, ""))
	root, _ := pushed(t, c, "app", "v1")
	statuses := []int{}
	c.reads = noteStatus{c.reads, &statuses}
	for _, known := range []digest.Digest{"", root, digest.FromString("another")} {
		if got, err := c.HeadSince(testContext(t), "app", "v1", known); got != root || err != nil {
			t.Errorf("known %q: got %s, %v, want %s", known, got, err, root)
		}
	}
	if want := []int{200, 304, 200}; len(statuses) != 3 || statuses[0] != want[0] || statuses[1] != want[1] || statuses[2] != want[2] {
		t.Errorf("the registry answered %v, want %v", statuses, want)
	}
}

type noteStatus struct {
	http.RoundTripper
	statuses *[]int
}

func (n noteStatus) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := n.RoundTripper.RoundTrip(r)
	if err == nil {
		*n.statuses = append(*n.statuses, res.StatusCode)
	}
	return res, err
}

func TestWhetherARegistryHasABlob(t *testing.T) {
	c := newClient(t, startRegistry(t, ""))
	_, layer := pushed(t, c, "app", "v1")
	for d, want := range map[digest.Digest]bool{layer.Digest: true, digest.FromString("no blob"): false} {
		if has, err := c.HasBlob(testContext(t), "app", d, layer.Size); has != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", d, has, err, want)
		}
	}
	if has, err := c.HasBlob(testContext(t), "app", layer.Digest, layer.Size+1); has || err == nil {
		t.Errorf("a blob of another size: got %v, %v, want a mismatch", has, err)
	}
	deaf := lie(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) })
	if has, err := deaf.HasBlob(testContext(t), "app", layer.Digest, layer.Size); !has || err != nil {
		t.Errorf("a registry that takes no HEAD: got %v, %v, want to believe it", has, err)
	}
}
