package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sharedTags is over how many versions W5 spreads a site.
const sharedTags = 20

// sharing makes W5: the disk that the cache takes up and the pages that the
// kernel keeps when many versions have been read that share all but one file in
// a hundred, beside those of one version and the new files of the others.
func (b *bench) sharing() error {
	home, err := b.home()
	if err != nil {
		return err
	}
	d, err := b.mountIn(home, b.served.host)
	if err != nil {
		return err
	}
	defer d.stop()
	var one, all, onePages, allPages, fresh int // KiB
	seen := map[uint64]bool{}
	for i := range sharedTags {
		if err := b.readVersion(d, i); err != nil {
			return err
		}
		if all, err = b.diskOf(home); err != nil {
			return err
		}
		pages, err := pagesOf(filepath.Join(d.dir, "shared", fmt.Sprint("v", i)), seen)
		if err != nil {
			return err
		}
		allPages += pages
		if i == 0 {
			one, onePages = all, pages
		} else {
			fresh += b.changedSize(100+i) >> 10
		}
	}
	note := fmt.Sprintf("beside one version (%%s) and the bytes of the %d times 1 %%%% of files that are new (%s); one reading", sharedTags-1, mebibytes(fresh))
	for _, r := range []struct {
		what     string
		all, one int
	}{{"disk of the cache", all, one}, {"page cache of the mount", allPages, onePages}} {
		ratio := float64(r.all) / float64(r.one+fresh)
		b.table.add(row{
			id: "W5", what: fmt.Sprintf("%s, %d versions of %s that share 99 %%", r.what, sharedTags, b.docs.name),
			ours: mebibytes(r.all), limit: mebibytes(r.one + fresh), ratio: fmt.Sprintf("%.2f", ratio), must: "≤ 1.10", reached: yes(ratio <= 1.1),
			note: fmt.Sprintf(note, mebibytes(r.one)),
		})
	}
	return nil
}

// pagesOf is how much of the files below dir the kernel has in memory, in KiB,
// but for the inodes that were seen before.
func pagesOf(dir string, seen map[uint64]bool) (kib int, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path) //nolint:gosec // G122: nobody changes what is in a site
		if err != nil {
			return err
		}
		defer f.Close()
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil || seen[st.Ino] || st.Size == 0 {
			return err
		}
		seen[st.Ino] = true
		n, err := residentPages(int(f.Fd()), int(st.Size))
		kib += n * os.Getpagesize() >> 10
		return err
	})
	return kib, err
}

func residentPages(fd, size int) (n int, err error) {
	data, err := unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Munmap(data) }() // it was mapped
	there := make([]byte, (size+os.Getpagesize()-1)/os.Getpagesize())
	//nolint:gosec // G103: the kernel writes one byte a page, for which there is room
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&data[0])), uintptr(size), uintptr(unsafe.Pointer(&there[0])))
	if errno != 0 {
		return 0, errno
	}
	for _, page := range there {
		n += int(page & 1)
	}
	return n, nil
}

// readVersion publishes a version with other files changed than the one before,
// and reads all of it.
func (b *bench) readVersion(d *daemon, number int) error {
	dir, err := b.changed(100 + number)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tag := fmt.Sprint("v", number)
	if _, err := b.command("bin/bundle", tag, "--dir", dir, "--out", b.temp+"/shared"); err != nil {
		return err
	}
	if _, err := b.command("bin/upload", tag, b.served.host+"/shared", "--images", b.temp+"/shared"); err != nil {
		return err
	}
	_, err = b.shell(`tar cf - -C "$1" . | cat >/dev/null`, d.dir+"/shared/"+tag)
	return err
}

// diskOf is the disk that a cache takes up, in KiB.
func (b *bench) diskOf(home string) (int, error) {
	out, err := b.command("du", "-sk", home+"/cache")
	if err != nil {
		return 0, err
	}
	kib, _, _ := strings.Cut(out, "\t")
	return strconv.Atoi(kib)
}
