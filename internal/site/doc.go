// Package site joins a registry, layers, trees and the content store into
// sites: what a tag resolves to, the files of that version, their bytes, and
// the namespace of repositories and tags that changes while all else stays.
//
// It knows neither how a site is shown (FUSE, HTTP) nor how one is packed.
// Read in this order: site.go (one immutable version), content.go (its bytes),
// load.go (how it comes to be), live.go (which version a name means now).
package site
