package namespace

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/regfs/regfs/internal/bundle"
	"github.com/regfs/regfs/internal/site"
)

func TestADescriptionCostsOneRequest(t *testing.T) {
	w := newWorld(t)
	created := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	w.PublishAs("my-app", bundle.Options{Version: "v1", Created: created}, map[string]string{"index.html": "one"})
	l := w.open(t.TempDir(), time.Hour)
	l.WaitListed(t.Context())
	d, err := l.Head(t.Context(), "my-app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	var got site.Description
	requests, bytes := w.Since(func() { got, err = l.Describe(t.Context(), "my-app", d) })
	if err != nil || len(requests) != 1 || bytes != 0 {
		t.Errorf("got %v after requests %q and %d bytes of blobs, want one request for the manifest", err, requests, bytes)
	}
	if !got.Created.Equal(created) || got.Size <= 0 || got.Files != 1 || got.Bytes != 3 || got.Manifest == d || got.Manifest.Validate() != nil {
		t.Errorf("got %+v, want created %v, the size, one file of 3 bytes, and the manifest in the index %s", got, created, d)
	}

	if _, err := l.Tree(t.Context(), "my-app", got.Manifest, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the tree of a site that nobody opened: got %v, want that it is not kept", err)
	}
	tree, err := l.Tree(t.Context(), "my-app", got.Manifest, true)
	if err != nil || tree.Len() != 2 {
		t.Fatalf("got a tree of %v, %v, want the page and its folder", tree, err)
	}
	if len(l.Shown()) != 0 {
		t.Errorf("got %+v shown, want nothing that nobody looked up", l.Shown())
	}
}

func TestWhatIsKnownIsAskedForFreeOfCharge(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"index.html": "one"})
	l := w.open(t.TempDir(), time.Hour)
	e, err := l.Lookup(t.Context(), "my-app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	shown := l.Shown()
	if len(shown) != 1 || shown[0].Repository != "my-app" || shown[0].Tag != "v1" || shown[0].Checked.IsZero() {
		t.Fatalf("got %+v, want my-app:v1, checked", shown)
	}
	eventually(t, "the tree is kept", e.Site.IsKept)
	l.WaitListed(t.Context())
	requests, _ := w.Since(func() {
		if _, err := l.Tree(t.Context(), "my-app", shown[0].Manifest, true); err != nil {
			t.Error(err)
		}
	})
	if len(requests) != 0 {
		t.Errorf("got requests %q for a tree that is kept", requests)
	}
	w.SetDown(true)
	if _, err := l.Head(t.Context(), "my-app", "v1"); !site.Unavailable(err) {
		t.Errorf("the registry is away: got %v", err)
	}
	if _, err := l.Tags(t.Context(), "my-app"); !site.Unavailable(err) {
		t.Errorf("the registry is away: got %v for its tags", err)
	}
}
