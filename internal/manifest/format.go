// Package manifest speaks the words of design section "What a tag holds": media
// types, annotations, the configuration of a site, and the documents (indexes
// and manifests) that tie a configuration to its layers.
//
// It reads and writes bytes that somebody else fetched or will store. It knows
// neither registries nor files, and it never looks inside a layer.
package manifest

const (
	// MediaTypeConfig is the media type of a site's configuration. It is that
	// of the experiment from which this format comes, so that its readers go
	// on working.
	MediaTypeConfig = "application/vnd.alembic.app.config.v1+json"

	// AnnotationFormat marks the documents of the original format; its only
	// value so far is FormatVersion.
	AnnotationFormat = "dev.openlab.deconf"
	// FormatVersion is the value of AnnotationFormat.
	FormatVersion = "0.1"

	// AnnotationTOCDigest, on a layer, is the digest of the uncompressed JSON
	// of its eStargz table of contents: the manifest vouches for the table,
	// and the table for every chunk.
	// Source: containerd/stargz-snapshotter docs/estargz.md.
	AnnotationTOCDigest = "containerd.io/snapshot/stargz/toc.digest"
	// AnnotationTOCOffset, on a layer, is the offset in the blob, decimal, at
	// which the gzip member with the table of contents begins; it ends at the
	// footer. With it one exact range reads the table; a layer without it
	// costs one more request for the footer.
	AnnotationTOCOffset = "dev.regfs.toc.offset"

	// AnnotationFiles and AnnotationBytes, on a layer, are the number of its
	// regular files and the bytes that they have together, decimal. Lists of
	// sites show them; nothing else believes them.
	AnnotationFiles = "dev.regfs.files"
	AnnotationBytes = "dev.regfs.bytes"
)
