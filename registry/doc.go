// Package registry speaks the OCI distribution protocol: it lists repositories
// and tags, resolves references, reads blobs whole or by single ranges, and
// pushes. It logs in, follows redirects, asks mirrors, and tries again where that
// may help and there is time.
//
// Every name is checked against the grammar of the specification before
// anything is sent, every answer is bounded and, where a digest is known,
// verified. The package knows no files, no trees and no FUSE.
package registry
