// Package front is the page that lists all sites, and what it reads: which
// repositories and tags there are, which version each names, and what differs
// between two versions.
//
// It knows how to gather that at little cost to the registry, only while
// somebody looks, and how to remember it. It does not know registries, FUSE or
// HTTP: what there is it asks of a Source, and what it makes are documents that
// somebody else hands out. Read in this order: front.go (which documents there
// are), index.go (the list of sites), gather.go (how it comes to be), page/
// (what browsers show of it).
//
// # sites.json
//
// Its form, version 1. Times are RFC 3339 in UTC, sizes bytes; what is not known
// is left out.
//
//	version       1
//	registry      HOST[:PORT]
//	refresh       seconds after which it is worth looking again
//	pending       how many tags have not been looked at yet
//	problem       why it may be old, for people
//	repositories  ordered by name:
//	  name
//	  problem     why its tags may be old, for people
//	  tags        ordered by name:
//	    name
//	    digest    what the tag names in the registry: a key of versions
//	    host      the DNS label under which the tag is an origin of its own
//	    path      where it is in the mount, if not at <repository>/<tag>: a
//	              repository of that name hides it there
//	    pushed    when this mount saw it come, at most a refresh after its push
//	    before    in place of pushed: it was there already when this mount first
//	              looked, which was then
//	versions      by digest:
//	  manifest    digest of the manifest that is the site; two versions with the
//	              same manifest are the same site
//	  size        of the layers, compressed
//	  files       number of files, once somebody has opened the site
//	  bytes       of these files
//	  created     when it was made, as it says itself
//	  problem     why it cannot be shown, for people
//
// The number of files is not read from the table of contents of a site that
// nobody has opened: over all versions that would be more than all sites' pages.
package front
