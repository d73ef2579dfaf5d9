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
//	v1/segments/  the contents up to 128 KiB, many in a file, and marks; see record.go
//	v1/ab/ab12…   a larger content, named by its digest in hex; 256 folders
//	v1/tmp/4f1c…  unfinished files of one running process, which locks the folder
//	v1/docs/…     named documents, each beginning with a checksum
//	v1/lock       locked by the process that evicts
//
// A file of its own would cost a small content half a millisecond, fifty times
// what appending it costs. Small is what is hashed with every read: nothing need
// be remembered of where in a segment the bytes were seen to be right. Only what was
// put a moment ago for somebody who goes through a layer is read from memory.
//
// A content is there once for all, and still not everybody's who knows its
// digest: an owner reads what was put on his shelf, see shelf.go. On which
// shelves a content stands are marks, records without bytes. They outlive the
// process as contents do, and are no contents to who counts.
//
// Any number of processes may use one folder at the same time: files come into
// place by rename and are named by what they hold, and each process appends to a
// segment of its own. What others append is seen with the next walk through the
// folder, every five minutes at least; until then it is only fetched again.
//
// Eviction removes whole files, the least recently used first. Of a segment, a
// quarter may be appended anew: what was used since the segment was full, and
// first the marks that are not older than the oldest content. The size of the
// cache is the sum of the sizes of all files, each but the segments rounded up to
// whole blocks of 4 KiB, without the indexes of segments.
package cache
