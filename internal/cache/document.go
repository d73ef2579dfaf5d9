package cache

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxDocument bounds one document, in bytes: the tree of two million files.
	maxDocument = 512 << 20
	// maxDocuments bounds a folder of documents; the oldest make way. It is
	// some versions of some hundred sites.
	maxDocuments = 4096
	// documentsPart is the part of the cache's limit that one folder's documents
	// may take: they exist to find contents, and are of no use without any.
	documentsPart = 4
)

// A document's file begins with a magic and a checksum:
//
//	magic    "regfsdoc"                            8 bytes
//	checksum SHA-256 of the name, a zero, the data 32 bytes
//	data
const (
	documentMagic  = "regfsdoc"
	documentHeader = len(documentMagic) + sha256.Size
)

// The names of documents: "namespace" or "trees/sha256-12ab…".
var (
	documentName   = regexp.MustCompile(`^([a-z0-9][a-z0-9_.-]{0,127}/)?[a-z0-9][a-z0-9_.-]{0,127}$`)
	documentFolder = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,127}$`)
)

func checkDocument(name string) error {
	if !documentName.MatchString(name) {
		return fmt.Errorf("document %q: a name is one or two parts of a-z, 0-9, '_', '.' and '-': %w", name, fs.ErrInvalid)
	}
	return nil
}

func documentSum(name string, data []byte) []byte {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write(data)
	return h.Sum(nil)
}

// SaveDocument keeps data under a name, in place of what had it, in one step
// and for good: it is on the disk when SaveDocument returns. In a folder of
// documents the oldest make way when there are too many. Documents are not
// evicted. Errors are fs.ErrInvalid for the name, ErrFull, and those of the
// disk; the earlier document is then still there.
func (s *Store) SaveDocument(name string, data []byte) error {
	if err := checkDocument(name); err != nil {
		return err
	}
	if len(data) > maxDocument {
		return fmt.Errorf("document %s: %d bytes are more than %d: %w", name, len(data), maxDocument, ErrFull)
	}
	if err := s.storeDocument(name, data); err != nil {
		return s.noRoom(fmt.Errorf("document %s: %w", name, err))
	}
	if dir, _, ok := strings.Cut(name, "/"); ok {
		s.pruneDocuments(dir, name)
	}
	return nil
}

func (s *Store) storeDocument(name string, data []byte) error {
	size := int64(documentHeader + len(data))
	if _, free := s.dir.space(); free-size < s.reserve {
		return ErrFull
	}
	tmp, err := s.scratch.write(true, []byte(documentMagic), documentSum(name, data), data)
	if err != nil {
		return err
	}
	target := docsDir + "/" + name
	dir := target[:strings.LastIndexByte(target, '/')]
	before := s.documentSize(target)
	if err := s.dir.place(tmp, target); err != nil {
		s.scratch.remove(tmp)
		return err
	}
	s.usage.document(onDisk(size) - before)
	return s.dir.syncDir(dir)
}

// syncDir makes a rename last.
func (f *folder) syncDir(name string) error {
	d, err := f.root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (s *Store) documentSize(target string) int64 {
	fi, err := s.dir.root.Lstat(target)
	if err != nil {
		return 0
	}
	return onDisk(fi.Size())
}

// LoadDocument is the document that was saved under a name. fs.ErrNotExist
// means that there is none, or that it was damaged, and fs.ErrInvalid that
// there can be none of that name.
func (s *Store) LoadDocument(name string) ([]byte, error) {
	if err := checkDocument(name); err != nil {
		return nil, err
	}
	data, modified, err := s.readDocument(name)
	if err != nil {
		return nil, s.missingDocument(name, err)
	}
	if now := s.now(); now.Sub(modified) >= touchInterval {
		_ = s.dir.root.Chtimes(docsDir+"/"+name, now, now)
	}
	return data, nil
}

func (s *Store) readDocument(name string) (data []byte, modified time.Time, err error) {
	f, err := s.dir.root.OpenFile(docsDir+"/"+name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, modified, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, modified, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxDocument+int64(documentHeader) {
		return nil, modified, errNotFile
	}
	data = make([]byte, fi.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, modified, err
	}
	data, err = parseDocument(name, data)
	return data, fi.ModTime(), err
}

// parseDocument is the data in a document's file.
func parseDocument(name string, file []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(file, []byte(documentMagic))
	if !ok || len(rest) < sha256.Size {
		return nil, errContents
	}
	sum, data := rest[:sha256.Size], rest[sha256.Size:]
	if !bytes.Equal(sum, documentSum(name, data)) {
		return nil, errContents
	}
	return data, nil
}

func (s *Store) missingDocument(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrClosed):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("document %s: %w", name, fs.ErrNotExist)
	case !passing(err):
		if s.removeDocument(name) == nil {
			s.damages.Add(1)
			s.log.Warn("damaged document removed", "document", name, "reason", err)
		}
	}
	return fmt.Errorf("document %s: %w", name, absent(err))
}

func (s *Store) removeDocument(name string) error {
	target := docsDir + "/" + name
	size := s.documentSize(target)
	err := s.dir.root.Remove(target)
	if err == nil {
		s.usage.document(-size)
	}
	return err
}

// Documents are the names, folder included, of the documents in a folder such
// as "trees", sorted. A folder that is not there is empty.
func (s *Store) Documents(dir string) ([]string, error) {
	if !documentFolder.MatchString(dir) {
		return nil, fmt.Errorf("documents %q: a folder is of a-z, 0-9, '_', '.' and '-': %w", dir, fs.ErrInvalid)
	}
	infos, err := s.dir.documents(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("documents %s: %w", dir, err)
	}
	var names []string
	for _, fi := range infos {
		names = append(names, dir+"/"+fi.Name())
	}
	slices.Sort(names)
	return names, nil
}

func (f *folder) documents(dir string) ([]fs.FileInfo, error) {
	d, err := f.root.Open(docsDir + "/" + dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	infos, err := d.Readdir(-1)
	return slices.DeleteFunc(infos, func(fi fs.FileInfo) bool {
		return !fi.Mode().IsRegular() || !documentFolder.MatchString(fi.Name())
	}), err
}

// pruneDocuments removes the oldest documents of a folder when there are too
// many or they take too much, but never the one that was just saved.
func (s *Store) pruneDocuments(dir, saved string) {
	infos, err := s.dir.documents(dir)
	if err != nil {
		return
	}
	var total int64
	for _, fi := range infos {
		total += onDisk(fi.Size())
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	count := len(infos)
	for _, fi := range infos {
		if count <= s.maxDocuments && total <= s.limit/documentsPart {
			return
		}
		name := dir + "/" + fi.Name()
		if name != saved && s.removeDocument(name) == nil {
			count--
			total -= onDisk(fi.Size())
		}
	}
}

// documentBytes is what all documents take on disk.
func (f *folder) documentBytes() (total int64) {
	for _, pattern := range []string{docsDir + "/*", docsDir + "/*/*"} {
		names, _ := fs.Glob(f.root.FS(), pattern) // only a wrong pattern is an error
		for _, name := range names {
			if fi, err := f.root.Lstat(name); err == nil && fi.Mode().IsRegular() {
				total += onDisk(fi.Size())
			}
		}
	}
	return total
}
