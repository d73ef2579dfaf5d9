// Package site makes one version of a website out of what a repository holds: its
// files as a tree, their bytes, and how it wants to be served. A version is named
// by its digest and never changes.
//
// A Loader makes sites and keeps their trees; all its sites share a content store,
// what is being fetched, and what is known of the registry's health. A Site gives
// the bytes of its files, verified, and fetches those that are not here or have not
// been seen to be its repository's.
//
// It does not know which repositories and tags there are, nor what a tag names:
// that changes, and is internal/namespace's. It knows neither how a site is shown
// (FUSE, HTTP) nor how one is packed.
//
// Read in this order: site.go (one version), content.go (its bytes), shelf.go (whose
// they are), fetch.go (where they come from) with ahead.go (what is fetched ahead of
// a reader) and plan.go (what else nobody has asked for), load.go and layers.go (how
// a version comes to be), record.go (how it is kept), errors.go (what keeps it from
// being shown).
package site
