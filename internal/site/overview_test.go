package site

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regfs/regfs/internal/bundle"
	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/registry"
)

func TestADescriptionCostsOneRequest(t *testing.T) {
	w := newWorld(t)
	created := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	w.publishAs("my-app", bundle.Options{Version: "v1", Created: created}, map[string]string{"index.html": "one"})
	l := w.open(t.TempDir(), time.Hour)
	l.WaitListed(t.Context())
	d, err := l.Head(t.Context(), "my-app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	var got Description
	requests, bytes := w.since(func() { got, err = l.Describe(t.Context(), "my-app", d) })
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
	w.publish("my-app", "v1", map[string]string{"index.html": "one"})
	l := w.open(t.TempDir(), time.Hour)
	if _, err := l.Lookup(t.Context(), "my-app", "v1"); err != nil {
		t.Fatal(err)
	}
	shown := l.Shown()
	if len(shown) != 1 || shown[0].Repository != "my-app" || shown[0].Tag != "v1" || shown[0].Checked.IsZero() {
		t.Fatalf("got %+v, want my-app:v1, checked", shown)
	}
	l.loader.keeping.Wait()
	l.WaitListed(t.Context())
	requests, _ := w.since(func() {
		if _, err := l.Tree(t.Context(), "my-app", shown[0].Manifest, true); err != nil {
			t.Error(err)
		}
	})
	if len(requests) != 0 {
		t.Errorf("got requests %q for a tree that is kept", requests)
	}
	w.setDown(true)
	if _, err := l.Head(t.Context(), "my-app", "v1"); !Unavailable(err) {
		t.Errorf("the registry is away: got %v", err)
	}
	if _, err := l.Tags(t.Context(), "my-app"); !Unavailable(err) {
		t.Errorf("the registry is away: got %v for its tags", err)
	}
}

func TestUnavailableIsWhatMayPass(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{registry.ErrUnavailable, true}, {unavailable(errors.New("disk")), true},
		{fs.ErrNotExist, false}, {promised(fs.ErrNotExist), false}, {registry.ErrMismatch, false}, {nil, false},
	} {
		if got := Unavailable(test.err); got != test.want {
			t.Errorf("%v: got %v, want %v", test.err, got, test.want)
		}
	}
}

func TestWhenAVersionWasMade(t *testing.T) {
	config := func(mediaType, text string) v1.Descriptor {
		return v1.Descriptor{MediaType: mediaType, Digest: digest.FromString(text), Size: int64(len(text)), Data: []byte(text)}
	}
	image := config(v1.MediaTypeImageConfig, `{"created":"2020-01-02T03:04:05Z"}`)
	large := image
	large.Size = maxImageConfig + 1
	annotated := map[string]string{v1.AnnotationCreated: "2021-01-02T03:04:05+01:00"}
	for _, test := range []struct {
		name, index, want string
		manifest          v1.Manifest
	}{
		{name: "the manifest says it", index: "2022-01-02T03:04:05Z", manifest: v1.Manifest{Config: image, Annotations: annotated}, want: "2021-01-02T02:04:05Z"},
		{name: "the index says it", index: "2022-01-02T03:04:05Z", manifest: v1.Manifest{Config: image}, want: "2022-01-02T03:04:05Z"},
		{name: "the configuration says it", index: "soon", manifest: v1.Manifest{Config: image}, want: "2020-01-02T03:04:05Z"},
		{name: "Docker's configuration says it", manifest: v1.Manifest{Config: config(mediaTypeDockerConfig, string(image.Data))}, want: "2020-01-02T03:04:05Z"},
		{name: "another configuration", manifest: v1.Manifest{Config: config(manifest.MediaTypeConfig, string(image.Data))}},
		{name: "too large", manifest: v1.Manifest{Config: large}},
		{name: "no JSON", manifest: v1.Manifest{Config: config(v1.MediaTypeImageConfig, "{")}},
		{name: "1970", manifest: v1.Manifest{Config: config(v1.MediaTypeImageConfig, `{"created":"1970-01-01T00:00:00Z"}`)}},
		{name: "nobody says it", manifest: v1.Manifest{Config: config(v1.MediaTypeImageConfig, "{}")}},
	} {
		got := ""
		if at := new(loader).created(t.Context(), "my-app", &test.manifest, test.index); !at.IsZero() {
			got = at.Format(time.RFC3339)
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
