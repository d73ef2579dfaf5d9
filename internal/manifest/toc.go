package manifest

import (
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The annotations of zstd:chunked layers, after one of the prefixes; the second
// is that of older writers, and of the containerd project's.
// Source: containers/storage pkg/chunked.
const (
	zstdChecksum = "manifest-checksum" // digest of the compressed table of contents
	zstdPosition = "manifest-position" // OFFSET:LENGTH:UNCOMPRESSED:1, where the table lies in the blob
)

var zstdPrefixes = []string{"io.github.containers.zstd-chunked.", "io.containers.zstd-chunked."}

// TOC is where a layer's table of contents lies and what vouches for it, as far
// as the layer's annotations tell. Sizes are bytes.
type TOC struct {
	Digest digest.Digest // of its JSON; "" if nothing vouches for that
	Offset int64         // in the blob; 0 if only the footer knows
	Zstd   *ZstdTOC      // if it is a zstd:chunked layer
}

// ZstdTOC is where the table of contents of a zstd:chunked layer lies.
type ZstdTOC struct {
	Digest         digest.Digest // of the Length bytes at Offset
	Offset, Length int64         // in the blob
	Size           int64         // uncompressed
}

// Vouched tells whether there is a table that can be believed.
func (t TOC) Vouched() bool { return t.Digest != "" || t.Zstd != nil }

// TOCOf reads the annotations of a layer. Ones that make no sense count as
// absent.
func TOCOf(layer Descriptor) TOC {
	t := TOC{Zstd: zstdTOC(layer)}
	d, err := digest.Parse(layer.Annotations[AnnotationTOCDigest])
	if err != nil {
		return t
	}
	t.Digest = d
	off, err := strconv.ParseInt(layer.Annotations[AnnotationTOCOffset], 10, 64)
	if err == nil && off > 0 && off < layer.Size {
		t.Offset = off
	}
	return t
}

func zstdTOC(layer Descriptor) *ZstdTOC {
	for _, prefix := range zstdPrefixes {
		d, err := digest.Parse(layer.Annotations[prefix+zstdChecksum])
		if err != nil {
			continue
		}
		t := &ZstdTOC{Digest: d}
		if t.place(layer.Annotations[prefix+zstdPosition]) && t.Length <= layer.Size-t.Offset {
			return t
		}
	}
	return nil
}

// place reads a position.
func (t *ZstdTOC) place(position string) bool {
	offset, rest, _ := strings.Cut(position, ":")
	length, rest, _ := strings.Cut(rest, ":")
	size, kind, _ := strings.Cut(rest, ":")
	for to, text := range map[*int64]string{&t.Offset: offset, &t.Length: length, &t.Size: size} {
		n, err := strconv.ParseInt(text, 10, 64)
		if *to = n; err != nil || n <= 0 {
			return false
		}
	}
	return kind == "1" // a list of entries like that of eStargz
}
