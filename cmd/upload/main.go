// Upload pushes a version of a site, as bundle packed it, to a registry.
//
//	upload VERSION [REPOSITORY] [--from REPOSITORY] [--images images] [--json]
//
// It reads the OCI image layout at images/VERSION and makes REPOSITORY:VERSION
// name what is in it. REPOSITORY is [http://|https://][HOST[:PORT]/]NAME, by
// default localhost:5000/my-app. The first part is a host only if it has a dot
// or a colon in it or is "localhost", as for docker; without a host the
// registry is localhost:5000. A host on this machine is spoken to in plain
// HTTP, any other in TLS, unless http:// or https:// says otherwise.
// Credentials are those of docker login and podman login.
//
// Only what the registry lacks is sent, several blobs at once, each verified
// against its digest. The tag comes last, so it never names what is not there.
// After an interruption the same command sends the rest. What another repository of
// the same registry has, which --from names, the registry takes over from there, if
// it mounts blobs and we may read that one: nothing is sent then.
//
// The one line on standard output is REPOSITORY@DIGEST, which names this
// version for ever, whatever the tag names later; with --json it is an object.
// Everything else is said on standard error.
//
// The layout may be another tool's (skopeo, crane, oras). If its index.json
// names one thing, that is pushed; if several, the one whose ref name is
// VERSION or ends in :VERSION; and if none of several has a ref name,
// index.json itself is the index that is pushed.
//
// Each flag can be set by the environment: REGFS_IMAGES, REGFS_FROM, REGFS_JSON.
//
// # Exit codes
//
//	0  REPOSITORY:VERSION names the version
//	2  the command was not called as it should be
//	4  there is no images/VERSION, or a blob is neither there nor in the registry
//	5  the registry does not allow it
//	6  the registry cannot be reached, or does not take what is sent
//	7  a file of the layout does not have its digest
//
// # Limitations
//
// A blob is sent in one piece: one that is interrupted starts again. A manifest
// is at most 4 MiB. Layers that may not be distributed are left out. Signatures
// and other referrers are not copied.
package main

import "github.com/regfs/regfs/internal/cli"

func main() { cli.Main(command()) }
