package bundle

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/regfs/regfs/internal/layer"
)

const (
	// memorySize bounds what the memory's folder holds, in bytes: some ten
	// versions of a large site, of which all after the first add little.
	memorySize = 1 << 30
	// memoryPacks bounds how many files it is in, because each is opened and
	// its index read by every run.
	memoryPacks = 128
)

// memory is what earlier runs compressed: one file of members, a pack, for each
// run that compressed any. Packs are written once and never changed, so that any
// number of runs may use the folder at once, and all of it may be deleted at any
// time. Runs that find a member in a pack renew the time of its file; the packs
// that were not used for longest are removed, and those found to be damaged.
type memory struct {
	dir   string
	packs []*pack
	where map[layer.MemberKey]place
	added *packWriter
}

// place is where a member lies.
type place struct {
	pack *pack
	packedMember
}

var _ layer.Members = (*memory)(nil)

// openMemory reads what dir remembers; the folder is created if needed. A pack
// that cannot be used is as good as none.
func openMemory(dir string) (*memory, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	added, err := newPackWriter(dir)
	if err != nil {
		return nil, err
	}
	m := &memory{dir: dir, where: map[layer.MemberKey]place{}, added: added}
	for _, f := range listPacks(dir) {
		if p, err := openPack(filepath.Join(dir, f.Name())); err == nil {
			m.add(p)
		}
	}
	return m, nil
}

func (m *memory) add(p *pack) {
	m.packs = append(m.packs, p)
	for _, e := range p.members {
		m.where[e.Key] = place{p, e}
	}
}

// Recall implements layer.Members.
func (m *memory) Recall(key layer.MemberKey, b *bytes.Buffer) bool {
	at, ok := m.where[key]
	return ok && at.pack.read(at.packedMember, b)
}

// Remember implements layer.Members.
func (m *memory) Remember(key layer.MemberKey, member []byte) { m.added.add(key, member) }

// close keeps what was added for the next runs, and makes room for it. The
// error says why nothing was kept.
func (m *memory) close() error {
	now := time.Now()
	for _, p := range m.packs {
		switch name := p.file.Name(); { // which may be gone: so be it
		case p.damaged.Load():
			_ = os.Remove(name)
		case p.used.Load():
			_ = os.Chtimes(name, now, now)
		}
		p.file.Close()
	}
	err := m.added.close()
	return errors.Join(err, prune(m.dir, memorySize, memoryPacks))
}

// prune removes the packs used least recently until the rest are at most size
// bytes in count files. Of those used by the same run the small ones go first:
// they are the least to be compressed again.
func prune(dir string, size int64, count int) error {
	list := listPacks(dir)
	slices.SortFunc(list, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), cmp.Compare(b.Size(), a.Size()))
	})
	for i, f := range list {
		if size -= f.Size(); size >= 0 && i < count {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// listPacks gives the packs in dir, complete or not, and no other file: dir may
// be anybody's.
func listPacks(dir string) []fs.FileInfo {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var packs []fs.FileInfo
	for _, d := range list {
		if ok, _ := filepath.Match("*"+packSuffix, d.Name()); !ok {
			continue
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			packs = append(packs, info)
		}
	}
	return packs
}

// memoryFor opens the memory in o.Cache. It must not lie in the folder that is
// packed: what is remembered would be packed too.
func memoryFor(o Options) (*memory, error) {
	if within(o.Dir, nearest(o.Cache)) {
		return nil, fmt.Errorf("%s lies in %s, which is packed", o.Cache, o.Dir)
	}
	return openMemory(filepath.Join(o.Cache, memoryFolder))
}

// memoryFolder is where the memory lies in the cache folder, which other
// commands use too.
const memoryFolder = "bundle"

// nearest is the folder that exists at or above dir.
func nearest(dir string) string {
	for {
		_, err := os.Stat(dir)
		if parent := filepath.Dir(dir); err != nil && parent != dir {
			dir = parent
			continue
		}
		return dir
	}
}
