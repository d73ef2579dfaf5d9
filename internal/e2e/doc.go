// Package e2e checks regfs as its users meet it: the built commands, a real
// registry, the kernel's mount, a stock nginx, a browser, containers.
//
// It holds tests only. It knows the commands, their flags and exit codes, what
// the mount promises and what lies in a registry; it imports nothing of the
// project, so that a promise is written down twice and cannot move unseen.
//
// What a test needs and the machine lacks (a program, root, /dev/fuse) makes it
// skip and say so; with REGFS_TEST_ALL set it fails instead, for machines that
// are there to run everything.
package e2e
