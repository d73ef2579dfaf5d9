package fs

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Documents are files in .regfs that somebody else makes. Paths are below
// .regfs; there is one level of folders.
type Documents interface {
	// Names are the documents that are listed.
	Names() []string
	// Folder tells whether a path is a folder of documents. What is in it is
	// not listed.
	Folder(path string) bool
	// Document gives what is at a path right now, and whether that can never
	// change. Errors: fs.ErrNotExist when there is no such document; others
	// when that is not known yet.
	Document(ctx context.Context, path string) (data []byte, fixed bool, err error)
}

// ShowDocuments adds documents; it must be called before the file system is
// mounted.
func (f *FS) ShowDocuments(d Documents) { f.documents = d }

// noDocuments is what is shown until others are.
type noDocuments struct{}

func (noDocuments) Names() []string    { return nil }
func (noDocuments) Folder(string) bool { return false }
func (noDocuments) Document(context.Context, string) ([]byte, bool, error) {
	return nil, false, fs.ErrNotExist
}

// documentBudget is how long somebody waits for a document. It is short, since
// a page that reads one can come again, and a web server's worker waits too.
const documentBudget = 2 * time.Second

// isDocuments tells whether a folder of the mount is one of documents.
func (f *FS) isDocuments(path string) bool {
	name, ok := strings.CutPrefix(path, aboutPath+"/")
	return ok && f.documents.Folder(name)
}

// lookupDocument finds name in .regfs or in a folder of documents in it. Its id
// follows from its content: whoever has it open reads one state to its end.
func (f *FS) lookupDocument(cancel <-chan struct{}, dir, name string, out *fuse.EntryOut) fuse.Status {
	path := dir + "/" + name
	if f.isDocuments(path) {
		return f.tell(folderID(path), inode{made: &made{path: path}}, out, forever)
	}
	ctx := begin(cancel, documentBudget)
	defer ctx.end()
	data, fixed, err := f.documents.Document(ctx, strings.TrimPrefix(path, aboutPath+"/"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return miss(out, missTimeout)
	case err != nil:
		return fail("lookup", path, err)
	}
	timeout := time.Duration(0)
	if fixed {
		timeout = forever
		f.kept.add(f.changes, placed{folderOf(dir), name})
	}
	file := inode{made: &made{path: path, data: data, isFile: true}}
	return f.tell(f.sums.id(path, data), file, out, timeout)
}

// folderOf is the node of .regfs or of a folder of documents in it.
func folderOf(dir string) nodeID {
	if dir == aboutPath {
		return aboutID
	}
	return folderID(dir)
}

// maxKept bounds the fixed documents that the kernel knows, since the bytes of
// each are in memory for as long as it does.
const maxKept = 32

// placed is a document as the kernel knows it.
type placed struct {
	dir  nodeID
	name string
}

// kept are the fixed documents that the kernel was told of last. The one that
// is too many it is asked to forget; that is looked up again when it is wanted.
type kept struct {
	mu  sync.Mutex
	all []placed
}

func (k *kept) add(c *changes, p placed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, known := range k.all {
		if known == p {
			return
		}
	}
	if k.all = append(k.all, p); len(k.all) <= maxKept {
		return
	}
	oldest := k.all[0]
	k.all = append(k.all[:0], k.all[1:]...)
	c.add(func(s *fuse.Server) { s.EntryNotify(uint64(oldest.dir), oldest.name) })
}

// sums remembers the id of the last state of a document that changes, so that
// looking at it again need not read all of it.
type sums struct {
	mu   sync.Mutex
	path string
	data []byte
	last nodeID
}

func (s *sums) id(path string, data []byte) nodeID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == path && len(data) > 0 && len(s.data) == len(data) && &s.data[0] == &data[0] {
		return s.last
	}
	sum := sha256.Sum256(data)
	s.path, s.data, s.last = path, data, hashID("about file", path, string(sum[:]))
	return s.last
}
