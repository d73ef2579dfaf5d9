package fs

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/regfs/regfs/internal/tree"
)

func TestNoTwoNamesShareAFolder(t *testing.T) {
	w := newWorld(t)
	for _, tag := range []string{"v1", "latest"} {
		w.Publish("my-app", tag, map[string]string{"css/a.css": "same"})
	}
	f := w.newFS()
	seen := map[uint64]string{}
	for _, place := range [][]string{{"my-app", "v1"}, {"my-app", "latest"}, {"my-app:v1"}, {"my-app@v1"}} {
		for _, path := range [][]string{place, append(slices.Clone(place), "css")} {
			id, name := lookup(t, f, path...).NodeId, strings.Join(path, "/")
			if other, ok := seen[id]; ok {
				t.Errorf("%s and %s share the node id %x", name, other, id)
			}
			seen[id] = name
		}
	}
}

func TestEqualFilesAreOneInode(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"a": "same", "b": "one"})
	w.Publish("my-app", "v2", map[string]string{"sub/c": "same", "b": "two"})
	f := w.newFS()
	a, c := lookup(t, f, "my-app", "v1", "a"), lookup(t, f, "my-app", "v2", "sub", "c")
	if a.NodeId != c.NodeId || a.Mtime != c.Mtime || a.Ino != c.Ino {
		t.Errorf("equal files: got %x at %d and %x at %d", a.NodeId, a.Mtime, c.NodeId, c.Mtime)
	}
	one, two := lookup(t, f, "my-app", "v1", "b"), lookup(t, f, "my-app", "v2", "b")
	if one.NodeId == two.NodeId || one.Mtime == two.Mtime {
		t.Errorf("files of the same size that differ: got %x at %d and %x at %d", one.NodeId, one.Mtime, two.NodeId, two.Mtime)
	}
}

func TestIDsAreFunctionsOfWhatTheyName(t *testing.T) {
	if again := folderID("a"); folderID("a") != again || again == folderID("b") || folderID("") != rootID {
		t.Error("ids of folders are no function of their path")
	}
	if dirID(1, "ab") == dirID(2, "ab") || hashID("x", "ab", "c") == hashID("x", "a", "bc") {
		t.Error("ids of two different things are the same")
	}
	for _, hash := range []uint64{0, 1, 0xffffffff, 1<<62 - 1, ^uint64(0)} {
		if id := newID(hash); id>>63 != 1 || id == ^nodeID(0) {
			t.Errorf("hash %x: got id %x, which may mean something else", hash, id)
		}
	}
}

func TestMissesAreKeptAsLongAsTheyAreTrue(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"f": "x"})
	f := w.newFS()
	var out fuse.EntryOut
	in := fuse.InHeader{NodeId: lookup(t, f, "my-app", "v1").NodeId}
	if status := f.Lookup(nil, &in, "nothing", &out); status != fuse.OK || out.NodeId != 0 || out.EntryTimeout() != forever {
		t.Errorf("in a site: got %v, node %d, %v; want a miss for ever", status, out.NodeId, out.EntryTimeout())
	}
	in.NodeId = uint64(rootID)
	if status := f.Lookup(nil, &in, "nothing", &out); status != fuse.OK || out.NodeId != 0 || out.EntryTimeout() != missTimeout {
		t.Errorf("at the root: got %v, node %d, %v; want a miss for %v", status, out.NodeId, out.EntryTimeout(), missTimeout)
	}
	if status := f.Lookup(nil, &in, strings.Repeat("n", 256), &out); status != fuse.Status(syscall.ENAMETOOLONG) {
		t.Errorf("a long name: got %v", status)
	}
}

func TestForgottenNodesAreDropped(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"a/b/c": "x"})
	f := w.newFS()
	var ids []uint64
	for i := range 5 {
		names := []string{"my-app", "v1", "a", "b", "c"}[:i+1]
		ids = append(ids, lookup(t, f, names...).NodeId)
	}
	if got := f.inodes.len(); got != 6 {
		t.Fatalf("got %d nodes, want 6", got)
	}
	for i, id := range ids {
		f.Forget(id, uint64(len(ids)-i-1)) // all but the last telling
	}
	if got := f.inodes.len(); got != 6 {
		t.Errorf("got %d nodes while the kernel knows them, want 6", got)
	}
	for _, id := range ids {
		f.Forget(id, 1)
	}
	f.Forget(uint64(rootID), 1)
	if got := f.inodes.len(); got != 1 {
		t.Errorf("got %d nodes, want the root", got)
	}
	var attr fuse.AttrOut
	if status := f.GetAttr(nil, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: ids[0]}}, &attr); status != fuse.Status(syscall.ESTALE) {
		t.Errorf("a forgotten node: got %v, want ESTALE", status)
	}
}

func TestTheTableOfNodesGivesMemoryBack(t *testing.T) {
	table := newInodes()
	const many = 100_000
	for i := range nodeID(many) {
		table.add(i+2, inode{made: &made{}})
	}
	for i := range nodeID(many) {
		if i%1000 != 0 {
			table.forget(i+2, 1)
		}
	}
	if table.peak > many/10 || table.len() != many/1000 {
		t.Errorf("got a table of %d nodes made for %d, want %d", table.len(), table.peak, many/1000)
	}
	for i := nodeID(0); i < many; i += 1000 {
		if _, ok := table.get(i + 2); !ok {
			t.Errorf("node %d was lost", i+2)
		}
	}
}

func TestDifferentContentNeverPassesForTheSame(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"a": "one", "b": "two", "d/x": "1"})
	e, err := w.live.Lookup(t.Context(), "my-app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	node := func(name string) inode {
		n, ok := e.Site.Tree.Lookup(tree.Root, name)
		if !ok {
			t.Fatal(name)
		}
		return inode{site: e.Site, node: n}
	}
	table := newInodes()
	for range 2 {
		if !table.add(7, node("a")) {
			t.Error("the same file was not taken")
		}
	}
	for _, name := range []string{"b", "d"} {
		if table.add(7, node(name)) {
			t.Errorf("%s was taken for a", name)
		}
	}
	if table.add(7, inode{made: &made{}}) {
		t.Error("a folder of the namespace was taken for a")
	}
}

func TestListingsGoOnWhereTheyWereLeft(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 300 {
		files[fmt.Sprintf("file-with-a-long-name-%03d", i)] = "x"
	}
	w.Publish("my-app", "v1", files)
	for i := range 40 {
		w.Publish(fmt.Sprintf("repo-with-a-long-name-%02d", i), "v1", map[string]string{"f": "x"})
	}
	f := w.newFS()
	for _, c := range []struct {
		names []string
		want  int
	}{{[]string{"my-app", "v1"}, 302}, {nil, 43}} {
		out := fuse.EntryOut{NodeId: uint64(rootID)}
		if c.names != nil {
			out = lookup(t, f, c.names...)
		}
		if got := len(listAll(t, f, out.NodeId)); got != c.want {
			t.Errorf("%q: got %d names, want %d", c.names, got, c.want)
		}
	}
}

// listAll lists a folder in small pieces; a name that comes twice fails.
func listAll(t *testing.T, f *FS, id uint64) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	in := fuse.ReadIn{InHeader: fuse.InHeader{NodeId: id}}
	for {
		buf := make([]byte, 500)
		list := fuse.NewDirEntryList(buf, in.Offset)
		if status := f.ReadDir(nil, &in, list); status != fuse.OK {
			t.Fatal(status)
		}
		if list.Offset == in.Offset {
			return all
		}
		for rest := list.Bytes(); len(rest) > 0; {
			name, length := parseDirent(rest)
			if all[name] {
				t.Fatalf("%q is listed twice", name)
			}
			all[name] = true
			rest = rest[length:]
		}
		in.Offset = list.Offset
	}
}

// parseDirent reads one struct fuse_dirent of linux/fuse.h: ino and off of 8
// bytes, namelen and type of 4, the name, padded to 8.
func parseDirent(b []byte) (name string, length int) {
	n := int(b[16]) | int(b[17])<<8
	return string(b[24 : 24+n]), (24 + n + 7) &^ 7
}

func TestMountinfoIsReadAsTheKernelWritesIt(t *testing.T) {
	for line, want := range map[string]string{
		`36 35 98:0 /root /mnt/a rw,noatime master:1 - ext3 /dev/root rw,errors=continue`:            "/mnt/a ext3 0",
		`99 35 0:50 / /mnt/with\040space\134x ro,nosuid shared:2 master:3 - fuse.regfs host:5000 ro`: `/mnt/with space\x fuse.regfs 50`,
		`garbage`: "  ",
	} {
		point, at, _ := parseMountinfo(line)
		if got := point + " " + at.kind + " " + at.minor; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLookupsAllocateNothing(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"dir/there.txt": strings.Repeat("text ", 10)})
	f := w.newFS()
	in := fuse.InHeader{NodeId: lookup(t, f, "my-app", "v1", "dir").NodeId}
	lookup(t, f, "my-app", "v1", "dir", "there.txt") // its bytes are here now
	for _, name := range []string{"there.txt", "missing.txt"} {
		var out fuse.EntryOut
		allocations := testing.AllocsPerRun(100, func() {
			if status := f.Lookup(nil, &in, name, &out); status != fuse.OK {
				t.Fatal(status)
			}
		})
		if allocations != 0 {
			t.Errorf("%s: got %v allocations a lookup, want none", name, allocations)
		}
	}
}

func TestAReadIsAnsweredByOneWriteOrASplice(t *testing.T) {
	w := newWorld(t)
	w.Publish("my-app", "v1", map[string]string{"small": "x", "large": strings.Repeat("large ", 50_000)})
	f := w.newFS()
	for path, wantSplice := range map[string]bool{"my-app/v1/small": false, "my-app/v1/large": true, ".regfs/ready": false} {
		e := lookup(t, f, strings.Split(path, "/")...)
		readNode(t, f, e) // brings the bytes
		result, status := f.Read(nil, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: e.NodeId}}, make([]byte, 4096))
		if status != fuse.OK {
			t.Fatalf("%s: %v", path, status)
		}
		defer result.Done()
		_, write := result.(interface {
			Slices() ([][]byte, fuse.Status)
		})
		_, splice := result.(interface{ Seekable() (uintptr, int64, int) })
		if write == wantSplice || splice != wantSplice {
			t.Errorf("%s: got one write: %v, a splice: %v", path, write, splice)
		}
	}
}
