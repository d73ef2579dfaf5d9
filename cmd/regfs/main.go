// Regfs shows every tag of every repository of an OCI registry as a folder, so
// that a web server, or anything else that reads files, can serve what is in
// them.
//
//	regfs mount MOUNTPOINT     serve a registry as a folder, until SIGINT or SIGTERM
//	regfs unmount MOUNTPOINT   end a mount, also one whose daemon is gone
//	regfs status MOUNTPOINT    tell what is served, and how well
//	regfs prefetch REF...      read versions through a mount, into its cache
//	regfs diff REF REF         tell which files differ between two versions
//
// Below the mountpoint a repository is a folder, and so is each of its tags:
//
//	my-app/v1/index.html
//	team/docs/latest/guide/
//	my-app@sha256:<hex>/       by digest: can never change. Not listed.
//	my-app:v1/  my-app@v1/     a tag, spelled so that no repository's name can
//	                           collide with it. Not listed.
//	.regfs/ready               there when the mount is. Not listed.
//
// Every flag can be given as an environment variable: --cache-size is
// REGFS_CACHE_SIZE. Credentials come from the configuration of docker and
// podman.
//
// # Limitations
//
// Everything is read-only. Owners, permissions, devices and extended attributes
// of images are not shown. Layers other than eStargz are read as a whole when
// their tag is first looked up. A registry that does not list its repositories
// (Docker Hub, GHCR) shows those named by --repo and those looked up before.
package main

import "github.com/regfs/regfs/internal/cli"

func main() { cli.Main(command()) }
