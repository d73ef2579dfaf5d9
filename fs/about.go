package fs

import (
	"crypto/sha256"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/namespace"
)

// aboutPath is the folder in the root that tells about the mount itself. It is
// never listed there.
const aboutPath = ".regfs"

var aboutID = hashID("about")

// hostsPath is the folder in it where sites are found by their DNS labels.
const hostsPath = namespace.HostsFolder

// aboutFiles are the files in it.
var aboutFiles = []string{"ready", "status.json"}

// about gives what a file in .regfs holds right now.
func (f *FS) about(name string) ([]byte, bool) {
	switch name {
	case "ready":
		return []byte("ok\n"), true // that it can be read says it all
	case "status.json":
		return f.status(), true
	}
	return nil, false
}

// lookupAbout finds a file about the mount. Its content may be another the next
// time, so its id follows from the content and the entry is not kept: whoever
// has it open reads one state to its end.
func (f *FS) lookupAbout(cancel <-chan struct{}, name string, out *fuse.EntryOut) fuse.Status {
	if aboutPath+"/"+name == hostsPath {
		return f.tell(folderID(hostsPath), inode{made: &made{path: hostsPath}}, out, forever)
	}
	data, ok := f.about(name)
	if !ok {
		return f.lookupDocument(cancel, aboutPath, name, out)
	}
	sum := sha256.Sum256(data)
	file := inode{made: &made{path: aboutPath + "/" + name, data: data, isFile: true}}
	return f.tell(hashID("about file", name, string(sum[:])), file, out, 0)
}
