package manifest

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

var platformPart = regexp.MustCompile(`^[a-z0-9_.]+$`)

// ParsePlatform reads OS/ARCHITECTURE[/VARIANT]. "" is the zero value, which
// stands for this machine's architecture on Linux.
func ParsePlatform(text string) (Platform, error) {
	if text == "" {
		return Platform{}, nil
	}
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return Platform{}, fmt.Errorf("platform %.100q: it is OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64", text)
	}
	for _, p := range parts {
		if !platformPart.MatchString(p) {
			return Platform{}, fmt.Errorf("platform %.100q: %.100q is no name of a system or an architecture", text, p)
		}
	}
	return Platform{OS: parts[0], Architecture: parts[1], Variant: strings.Join(parts[2:], "")}, nil
}

// String is what ParsePlatform reads.
func (p Platform) String() string {
	if p == (Platform{}) {
		return ""
	}
	text := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	return text
}

// How well an entry of an index suits, from not at all upwards.
const (
	unsuited = iota
	anyPlatform
	samePlatform // but for the variant, of which one side says nothing
	exactPlatform
	noPlatform
	artifact
)

// Choose picks the entry of an index that is the site: the artifact, then what
// has no platform, then what is for the platform, then the first. Attestations
// and what is no manifest are never chosen.
func Choose(x *v1.Index, want Platform) (Descriptor, error) {
	if want == (Platform{}) {
		want = Platform{OS: "linux", Architecture: runtime.GOARCH}
	}
	best, rank := Descriptor{}, unsuited
	for _, d := range x.Manifests {
		if r := want.rank(d); r > rank {
			best, rank = d, r
		}
	}
	if rank == unsuited {
		return best, fmt.Errorf("index without an entry for a site: %w", ErrUnsupported)
	}
	return best, nil
}

func (p Platform) rank(d Descriptor) int {
	has := d.Platform
	switch {
	case d.MediaType != "" && !isDocument(d.MediaType), d.Annotations["vnd.docker.reference.type"] == "attestation-manifest":
		return unsuited
	case d.ArtifactType == MediaTypeConfig:
		return artifact
	case has == nil:
		return noPlatform
	case has.OS == "unknown" || has.Architecture == "unknown":
		return unsuited
	case has.OS != p.OS || has.Architecture != p.Architecture:
		return anyPlatform
	case has.Variant == p.Variant:
		return exactPlatform
	case has.Variant == "" || p.Variant == "":
		return samePlatform
	}
	return anyPlatform
}

// isDocument tells whether a media type is that of an index or a manifest.
func isDocument(mediaType string) bool {
	switch mediaType {
	case v1.MediaTypeImageIndex, v1.MediaTypeImageManifest, dockerList, dockerManifest:
		return true
	}
	return false
}
