package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"github.com/regfs/regfs/internal/layer"
	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/rules"
)

// folder is what of a folder is to be packed.
type folder struct {
	dir     string // as the user wrote it, for messages
	root    *os.Root
	out     fs.FileInfo // the folder of results, never packed; nil when there is none yet
	entries []layer.PackEntry

	openName string   // of the folder whose files are being opened
	openDir  *os.Root // that folder; nil before the first

	settings  manifest.Settings
	ruleFiles []string         // those that are there of _redirects and _headers
	written   []rules.Redirect // all redirects as they were written

	refused refusals
	left    places // where out was left out
	pages   pages

	progress func(n, of int, name string) // may be nil
	files    int
	opened   int
}

var _ layer.PackSource = (*folder)(nil)

// scanFolder lists dir, without reading the files in it. All that cannot be
// packed is gathered into one error.
func scanFolder(dir, out string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, unreadable(dir, err)
	}
	f := &folder{dir: dir, root: root}
	if info, err := os.Stat(out); err == nil {
		f.out = info
	}
	if err := f.scan(); err != nil {
		root.Close()
		return nil, err
	}
	return f, nil
}

func (f *folder) close() {
	if f.openDir != nil {
		f.openDir.Close()
	}
	f.root.Close()
}

func (f *folder) scan() error {
	f.entries = []layer.PackEntry{{Name: rootDir, Type: fs.ModeDir}}
	if err := f.scanDir(f.root, ".", nil); err != nil {
		return err
	}
	f.refuseEscapes()
	if err := f.refused.err(f.dir); err != nil {
		return err
	}
	if !slices.ContainsFunc(f.entries, func(e layer.PackEntry) bool { return e.Type != fs.ModeDir }) {
		return fmt.Errorf("%s: empty: there is no file to pack (that %s does not ignore)", f.dir, ignoreFile)
	}
	return nil
}

// scanDir adds what is in the folder name, which is open as dir, in the byte
// order of the names and each subfolder followed by what is in it. The order in
// which the file system lists names does not matter.
func (f *folder) scanDir(dir *os.Root, name string, rules ignoreRules) error {
	list, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return unreadable(f.shown(name), err)
	}
	if slices.ContainsFunc(list, func(d fs.DirEntry) bool { return d.Name() == ignoreFile }) {
		if rules, err = f.readIgnoreFile(name, rules); err != nil {
			return err
		}
	}
	for _, d := range list {
		p := path.Join(name, d.Name())
		if rules.ignores(p, d.IsDir()) {
			continue
		}
		if err := f.scanEntry(dir, p, rules); err != nil {
			return err
		}
	}
	return nil
}

// scanEntry adds p, which is in dir. From the root, os.Root would open every
// folder on the way to it.
func (f *folder) scanEntry(dir *os.Root, p string, rules ignoreRules) error {
	base := path.Base(p)
	info, err := dir.Lstat(base)
	if err != nil {
		return unreadable(f.shown(p), err)
	}
	if info.IsDir() && f.out != nil && os.SameFile(info, f.out) {
		f.left.add(shownName(p))
		return nil
	}
	if isRuleFile(p, info.Mode()) {
		f.ruleFiles = append(f.ruleFiles, p)
		return nil
	}
	if why := refuseName(p); why != "" {
		f.refused.add(p, why)
		return nil
	}
	e := layer.PackEntry{Name: path.Join(rootDir, p), Type: info.Mode().Type()}
	switch e.Type {
	case 0:
		e.Size = info.Size()
		f.files++
	case fs.ModeDir:
		f.entries = append(f.entries, e)
		sub, err := dir.OpenRoot(base)
		if err != nil {
			return unreadable(f.shown(p), err)
		}
		defer sub.Close()
		return f.scanDir(sub, p, rules)
	case fs.ModeSymlink:
		if e.Link, err = dir.Readlink(base); err != nil {
			return unreadable(f.shown(p), err)
		}
	default:
		f.refused.add(p, refuseType(e.Type))
		return nil
	}
	f.entries = append(f.entries, e)
	return nil
}

// shown is how messages call the file name.
func (f *folder) shown(name string) string { return shownName(path.Join(f.dir, name)) }

// unreadable says of the file or folder shown why it cannot be read.
func unreadable(shown string, err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was listed: not the kind that means "name another folder"
		return changed(shown)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: make it readable or list it in %s", shown, err, ignoreFile)
	}
	return fmt.Errorf("%s: %w", shown, err)
}

func changed(shown string) error {
	return fmt.Errorf("%s: changed while it was packed: run bundle again", shown)
}

// Entries implements layer.PackSource.
func (f *folder) Entries() []layer.PackEntry { return f.entries }

// Open implements layer.PackSource. Web pages are looked at as they go by.
func (f *folder) Open(e layer.PackEntry) (io.ReadCloser, error) {
	name := e.Name[len(rootDir)+1:]
	f.opened++
	if f.progress != nil {
		f.progress(f.opened, f.files, shownName(name))
	}
	return f.openFile(name, e.Size)
}

// openFile opens a file that had size bytes when its folder was listed.
func (f *folder) openFile(name string, size int64) (io.ReadCloser, error) {
	if err := f.enter(path.Dir(name)); err != nil {
		return nil, unreadable(f.shown(name), err)
	}
	// Not to wait for a writer if the file has become a FIFO.
	file, err := f.openDir.OpenFile(path.Base(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, unreadable(f.shown(name), err)
	}
	info, err := file.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() != size) {
		err = changed(f.shown(name))
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	if isPage(name) {
		return f.pages.watch(name, file), nil
	}
	return file, nil
}

// enter makes name the folder openDir. The files of a folder come in a row.
func (f *folder) enter(name string) error {
	if f.openDir != nil && f.openName == name {
		return nil
	}
	dir, err := f.root.OpenRoot(name)
	if err != nil {
		return err
	}
	if f.openDir != nil {
		f.openDir.Close()
	}
	f.openName, f.openDir = name, dir
	return nil
}
