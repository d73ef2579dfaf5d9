package fs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// benchmarkSite gives the file system and the id of a folder of 1,000 files, all
// of them here.
func benchmarkSite(b *testing.B) (*FS, fuse.InHeader) {
	w := newWorld(b)
	files := map[string]string{}
	for i := range 1000 {
		files[fmt.Sprintf("dir/file-%04d.html", i)] = fmt.Sprint("content ", i)
	}
	w.Publish("my-app", "v1", files)
	f := w.newFS()
	dir := lookup(b, f, "my-app", "v1", "dir")
	for name := range files {
		lookup(b, f, append([]string{"my-app", "v1"}, strings.Split(name, "/")...)...)
	}
	return f, fuse.InHeader{NodeId: dir.NodeId}
}

func BenchmarkLookup(b *testing.B) {
	f, in := benchmarkSite(b)
	var out fuse.EntryOut
	b.ReportAllocs()
	for b.Loop() {
		if status := f.Lookup(nil, &in, "file-0500.html", &out); status != fuse.OK || out.NodeId == 0 {
			b.Fatal(status)
		}
	}
}

func BenchmarkLookupMiss(b *testing.B) {
	f, in := benchmarkSite(b)
	var out fuse.EntryOut
	b.ReportAllocs()
	for b.Loop() {
		if status := f.Lookup(nil, &in, "file-0500.htm", &out); status != fuse.OK || out.NodeId != 0 {
			b.Fatal(status)
		}
	}
}

// BenchmarkLookupName asks for names of the namespace: a tag, and one that nobody has.
func BenchmarkLookupName(b *testing.B) {
	w := newWorld(b)
	w.Publish("my-app", "v1", map[string]string{"index.html": "x"})
	f := w.newFS()
	in := fuse.InHeader{NodeId: lookup(b, f, "my-app").NodeId}
	lookup(b, f, "my-app", "v1")
	for _, name := range []string{"v1", "-v1"} {
		b.Run(name, func(b *testing.B) {
			var out fuse.EntryOut
			cancel := make(chan struct{})
			b.ReportAllocs()
			for b.Loop() {
				if status := f.Lookup(cancel, &in, name, &out); status != fuse.OK || (out.NodeId == 0) == (name == "v1") {
					b.Fatal(status)
				}
			}
		})
	}
}

func BenchmarkReadDirPlus(b *testing.B) {
	f, in := benchmarkSite(b)
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		f.habit.wanted() // as somebody who looks at each file
		list := fuse.NewDirEntryList(buf, 0)
		if status := f.ReadDirPlus(nil, &fuse.ReadIn{InHeader: in}, list); status != fuse.OK || list.Offset < 100 {
			b.Fatal(status, list.Offset)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	f, in := benchmarkSite(b)
	var out fuse.EntryOut
	f.Lookup(nil, &in, "file-0500.html", &out)
	read := fuse.ReadIn{InHeader: fuse.InHeader{NodeId: out.NodeId}}
	buf := make([]byte, 128<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, status := f.Read(nil, &read, buf); status != fuse.OK {
			b.Fatal(status)
		}
	}
}
