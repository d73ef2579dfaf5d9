// Package front is the page that lists all sites, and what it reads: which
// repositories and tags there are, which version each names, and what differs
// between two versions. docs/listing.md describes these documents.
//
// It knows how to gather that at little cost to the registry, only while
// somebody looks, and how to remember it. It does not know registries, FUSE or
// HTTP: what there is it asks of a Source, and what it makes are documents that
// somebody else hands out. Read in this order: front.go (which documents there
// are), sites.go (the list of sites), gather.go (how it comes to be), page/ (what
// browsers show of it).
//
// The number of files of a site is what its packer noted, or what its tree has
// once somebody has opened it. It is not read from the tables of contents of
// sites that nobody has opened: over all versions that would be more than their
// pages.
package front
