package site

import (
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regfs/regfs/internal/manifest"
)

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
		if at := new(Loader).created(t.Context(), "my-app", &test.manifest, test.index); !at.IsZero() {
			got = at.Format(time.RFC3339)
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
