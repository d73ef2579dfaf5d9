package fs

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/site"
)

// nodeID is how the kernel knows a folder, file or link.
type nodeID uint64

const rootID nodeID = fuse.FUSE_ROOT_ID

// newID makes an id of a hash: never 0 (no entry), 1 (the root), or all ones
// (which go-fuse uses), nor the 0xffffffff of an unknown inode.
func newID(hash uint64) nodeID { return nodeID(hash&^(1<<62) | 1<<63) }

// hashID is the id of what these words say. The hash is a cryptographic one,
// since names come from strangers: nobody may make a folder that the kernel
// takes for somebody else's.
func hashID(kind string, words ...string) nodeID {
	h := sha256.New()
	h.Write([]byte(kind))
	var length [8]byte
	for _, w := range words {
		binary.LittleEndian.PutUint64(length[:], uint64(len(w)))
		h.Write(length[:])
		h.Write([]byte(w))
	}
	return newID(binary.LittleEndian.Uint64(h.Sum(nil)))
}

// What has a content: a file of a site, or its gzip form.
const (
	plainFile = 0
	gzipForm  = 0x6a09e667f3bcc908 // any number will do
)

// contentID is the id of what has a content, of which the first bytes of its
// digest are given, in the repository of s. The kernel keeps what it has read by
// the id, so that nothing that was read below one repository is ever shown below
// another. Both are parts of cryptographic hashes, and so is what they make
// together: it takes as many tries to meet somebody else's as to meet the half of
// a digest. Each name that is looked up or listed has one made.
func contentID(kind uint64, s *site.Site, content uint64) nodeID {
	return newID(content ^ s.RepositoryHash() ^ kind)
}

// folderID is the id of a folder of the namespace, "" for the root.
func folderID(path string) nodeID {
	if path == "" {
		return rootID
	}
	return hashID("folder", path)
}

// siteID is the id of the root of a site that stands at a place in the mount.
func siteID(place string, s *site.Site) nodeID {
	return hashID("site", place, s.Digest.String())
}

// dirID is the id of a folder in a site; its parent's says where and which.
func dirID(parent nodeID, name string) nodeID { return childHash("dir", parent, name) }

func childHash(kind string, parent nodeID, name string) nodeID {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(parent))
	return hashID(kind, string(b[:]), name)
}
