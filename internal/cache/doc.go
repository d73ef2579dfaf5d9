// Package cache keeps verified content on disk by digest, with a size cap.
//
// It knows nothing of OCI, HTTP or FUSE: a content is a run of bytes named by
// its SHA-256, and whoever asks knows where to fetch it when it is not there.
// It is only a cache. Bytes that do not match their name are never handed out:
// any damage is removed and looks like content that was never there, so files
// need no fsync and nothing needs repair after a crash.
//
// Everything is below v1 in the folder that was given:
//
//	v1/ab/ab12…   a content, named by its digest in hex; 256 folders
//	v1/tmp/4f1c…  unfinished files of one running process, which locks the folder
//	v1/docs/…     named documents, each beginning with a checksum
//	v1/lock       locked by the process that evicts
//
// Files come into place by rename and are named by what they hold, so any
// number of processes may use one folder at the same time. The size of the
// cache is the sum of the sizes of all files, each rounded up to whole blocks
// of 4 KiB.
package cache
