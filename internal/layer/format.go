// Package layer turns blobs into trees and folders into blobs: tar, tar+gzip
// and tar+zstd are read, by their table of contents where they are eStargz or
// zstd:chunked; so are blobs that are a file as they are. eStargz is written.
//
// It reads blobs through io.Reader and io.ReaderAt. It knows neither HTTP nor
// FUSE, and not where content is kept.
package layer

const (
	// tocName is the tar entry that holds an eStargz table of contents.
	tocName = "stargz.index.json"

	// footerSize is the length of an eStargz footer in bytes: an empty gzip
	// member whose extra field says where the table of contents begins.
	//
	//	10 bytes  gzip header, with the FEXTRA flag
	//	 2 bytes  XLEN, little endian: 26
	//	 2 bytes  subfield id "SG"
	//	 2 bytes  LEN, little endian: 22
	//	22 bytes  sixteen hex digits, the offset of the table's member, and "STARGZ"
	//	 5 bytes  one empty stored deflate block
	//	 8 bytes  CRC32 and length, zero
	//
	// Source: containerd/stargz-snapshotter docs/estargz.md.
	footerSize = 51

	// legacyFooterSize is the length of the footer of stargz, before it was
	// eStargz: the extra field, whose XLEN is 22, holds the 22 bytes without a
	// subfield around them. Source: google/crfs stargz/stargz.go.
	legacyFooterSize = 47

	// footerText is what follows the offset in either.
	footerText = "STARGZ"

	// ChunkSize is the length, in bytes, at which the content of a large file
	// is cut into pieces that are fetched, verified and kept one by one. 4 MiB
	// is the default of eStargz writers; plain layers are cut the same, so
	// that the same file has the same chunks in either.
	ChunkSize = 4 << 20
)

// toc is a table of contents, of eStargz, stargz or zstd:chunked.
type toc struct {
	Version int        `json:"version"`
	Entries []tocEntry `json:"entries"`
}

// tocEntry is one tar entry, or a further chunk of the one before. Offsets and
// sizes are bytes. zstd:chunked has keys of its own, of which none is needed to
// read a file. Sources: containerd/stargz-snapshotter docs/estargz.md,
// containers/storage pkg/chunked.
type tocEntry struct {
	Name        string `json:"name"`
	Type        string `json:"type"` // dir, reg, symlink, hardlink, char, block, fifo, chunk
	Size        int64  `json:"size,omitempty"`
	LinkName    string `json:"linkName,omitempty"`
	Mode        int64  `json:"mode,omitempty"`
	UID         int    `json:"uid,omitempty"`
	GID         int    `json:"gid,omitempty"`
	Digest      string `json:"digest,omitempty"`      // of a regular file's whole content
	Offset      int64  `json:"offset,omitempty"`      // of the gzip member or zstd frame in the blob
	InnerOffset int64  `json:"innerOffset,omitempty"` // of the chunk in the uncompressed member
	ChunkOffset int64  `json:"chunkOffset,omitempty"` // of the chunk in the file
	ChunkSize   int64  `json:"chunkSize,omitempty"`   // 0: to the end of the file
	ChunkDigest string `json:"chunkDigest,omitempty"` // of the chunk, uncompressed
}
