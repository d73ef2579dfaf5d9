// Package namespace says what the names in the mount mean right now: which
// repositories and tags there are, and which site each tag, alias, digest and host
// names. It is the only part that changes while all else stays. It follows what
// is in use, hears of pushes, and keeps what it learned, so that it can start
// while the registry is away.
//
// It asks the registry for lists, tags and manifests, and bounds how often. What
// is in a version it does not know: sites come from internal/site, as a whole. It
// knows nothing of FUSE and HTTP either: who shows the names is told when they
// change.
//
// Read in this order: live.go (a lookup), tags.go (what a tag names) and show.go
// (how a new version is switched in), follow.go and news.go (how it stays fresh),
// names.go and catalog.go (which repositories there are), unknown.go and taglists.go
// (names that nobody knows), persist.go (what is kept).
package namespace
