package manifest

import (
	"fmt"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Annotations of ORAS. Sources: image-spec annotations.md, oras-go
// content/file.
const (
	annotationTitle  = v1.AnnotationTitle
	annotationUnpack = "io.deis.oras.content.unpack" // "true": the blob is a tar.gz of the folder called title
)

// ContentKind says what a layer is to a reader of files.
type ContentKind int

// The kinds of content.
const (
	Nothing ContentKind = iota // it holds no files that anybody could name
	Archive                    // it is a layer of a file system, put over those before it
	File                       // it is one file, as it is
	Folder                     // it is an archive of one folder
)

// Content says what files a layer holds.
type Content struct {
	Kind  ContentKind
	Title string // path of the file or folder
}

// ContentOf tells what one of the layers of a manifest holds. The error is an
// ErrUnsupported for what would have files if they could be read: layers that
// are encrypted, and those that lie elsewhere, where nobody ever looks.
func ContentOf(config, layer Descriptor) (Content, error) {
	switch t := layer.MediaType; {
	case len(layer.URLs) > 0 || strings.Contains(t, "foreign") || strings.Contains(t, "nondistributable"):
		return Content{}, fmt.Errorf("layer %s lies outside the registry, which is never followed: %w", layer.Digest, ErrUnsupported)
	case strings.Contains(t, "encrypted"):
		return Content{}, fmt.Errorf("layer %s is encrypted: %w", layer.Digest, ErrUnsupported)
	case config.MediaType == MediaTypeConfig && strings.Contains(t, ".tar"):
		return Content{Kind: Archive}, nil
	case config.MediaType == MediaTypeConfig:
		return Content{}, fmt.Errorf("layer %s is %.100q and no tar archive: %w", layer.Digest, t, ErrUnsupported)
	case isImage(config) && isFileSystem(t):
		return Content{Kind: Archive}, nil
	}
	return artifactContent(layer), nil
}

// artifactContent reads a layer as ORAS does: the title counts, and not the
// media type, which is that of an image's layer also for plain files.
func artifactContent(layer Descriptor) Content {
	title := layer.Annotations[annotationTitle]
	switch {
	case title != "" && layer.Annotations[annotationUnpack] == "true":
		return Content{Folder, title}
	case title != "":
		return Content{File, title}
	case isFileSystem(layer.MediaType):
		return Content{Kind: Archive}
	}
	return Content{}
}

// isImage tells whether a configuration is that of a container image. Tools
// that had no better type used that of images with nothing in it.
func isImage(config Descriptor) bool {
	switch config.MediaType {
	case v1.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json":
		return config.Size > int64(len("{}"))
	}
	return false
}

// isFileSystem tells whether a media type is that of an image's layer, however
// it is compressed.
func isFileSystem(mediaType string) bool {
	return strings.HasPrefix(mediaType, v1.MediaTypeImageLayer) ||
		strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.diff.tar")
}
