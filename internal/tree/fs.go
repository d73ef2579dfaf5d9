package tree

import (
	"io"
	"io/fs"
	"time"
)

// Content reads the bytes of a tree's files.
type Content interface {
	// ReadAt reads as io.ReaderAt does, from the file n.
	ReadAt(n Node, p []byte, off int64) (int, error)
}

// FS shows the tree as an io/fs.FS; content reads its files. Links are listed
// and followed. Names that are not UTF-8 are listed but, as io/fs wants it,
// cannot be opened.
func (t *Tree) FS(content Content) fs.FS { return treeFS{t, content} }

type treeFS struct {
	tree    *Tree
	content Content
}

var (
	_ fs.FS         = treeFS{}
	_ fs.ReadLinkFS = treeFS{}
	_ fs.StatFS     = treeFS{}
)

// find walks to a path. Links on the way are followed, a last one if follow.
// Links of a tree lead to something that is no link, hence never in circles.
func (f treeFS) find(op, name string, follow bool) (Node, error) {
	if !fs.ValidPath(name) {
		return 0, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n, ok := f.tree.Walk(Root, name, follow)
	if !ok {
		return 0, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

func (f treeFS) Open(name string) (fs.File, error) {
	n, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	i := info{f.tree, n, base(name)}
	if f.tree.Kind(n) == Dir {
		return &openDir{info: i}, nil
	}
	r := io.NewSectionReader(readerAt{f.content, n}, 0, f.tree.Size(n))
	return &openFile{i, r}, nil
}

func (f treeFS) Stat(name string) (fs.FileInfo, error) {
	n, err := f.find("stat", name, true)
	return info{f.tree, n, base(name)}, err
}

func (f treeFS) Lstat(name string) (fs.FileInfo, error) {
	n, err := f.find("lstat", name, false)
	return info{f.tree, n, base(name)}, err
}

func (f treeFS) ReadLink(name string) (string, error) {
	n, err := f.find("readlink", name, false)
	if err == nil && f.tree.Kind(n) != Symlink {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return "", err
	}
	return f.tree.Target(n), nil
}

func base(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			return name[i+1:]
		}
	}
	return name
}

// readerAt is one file's io.ReaderAt.
type readerAt struct {
	content Content
	node    Node
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r.content.ReadAt(r.node, p, off) }

// info is the fs.FileInfo and fs.DirEntry of a node.
type info struct {
	tree *Tree
	node Node
	name string
}

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return i.tree.Size(i.node) }
func (i info) IsDir() bool                { return i.tree.Kind(i.node) == Dir }
func (i info) Sys() any                   { return nil }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
func (i info) ModTime() time.Time         { return time.Unix(ModTime(i.tree.ID(i.node)), 0) }

func (i info) Mode() fs.FileMode {
	switch i.tree.Kind(i.node) {
	case Dir:
		return fs.ModeDir | 0o555
	case Symlink:
		return fs.ModeSymlink | 0o777
	}
	return 0o444
}

// openFile is an open regular file.
type openFile struct {
	info
	*io.SectionReader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }
func (f *openFile) Size() int64                { return f.info.Size() }

// openDir is an open folder.
type openDir struct {
	info
	read int
}

var _ fs.ReadDirFile = (*openDir)(nil)

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: fs.ErrInvalid}
}

func (d *openDir) ReadDir(limit int) ([]fs.DirEntry, error) {
	first, count := d.tree.Children(d.node)
	left := count - d.read
	if limit > 0 && left == 0 {
		return nil, io.EOF
	}
	if limit > 0 {
		left = min(left, limit)
	}
	entries := make([]fs.DirEntry, left)
	for i := range entries {
		n := first + Node(d.read+i)
		entries[i] = info{d.tree, n, d.tree.Name(n)}
	}
	d.read += left
	return entries, nil
}
