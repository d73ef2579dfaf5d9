package fs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// folders publishes a site of so many folders with ten files each and mounts it.
func folders(t *testing.T, n int) (o *operations, site string) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range n * 10 {
		files[fmt.Sprintf("dir%02d/file%d", i/10, i%10)] = fmt.Sprint("content ", i)
	}
	w.Publish("my-app", "v1", files)
	o = &operations{FS: w.newFS()}
	return o, filepath.Join(w.mount(o), "my-app", "v1")
}

// listFolders lists every folder of a site; with attributes it looks at each file, as
// ls -l does.
func listFolders(t *testing.T, site string, attributes bool) {
	t.Helper()
	dirs, err := os.ReadDir(site)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		files, err := os.ReadDir(filepath.Join(site, dir.Name()))
		if err != nil || len(files) != 10 {
			t.Fatalf("%s: got %d files, %v", dir.Name(), len(files), err)
		}
		for _, f := range files {
			if !attributes {
				continue
			}
			if info, err := f.Info(); err != nil || !info.Mode().IsRegular() {
				t.Fatalf("%s: got %v, %v", f.Name(), info, err)
			}
		}
	}
}

func TestListingNamesMakesNoInodes(t *testing.T) {
	o, site := folders(t, 30)
	listFolders(t, site, false)
	if got, most := o.inodes.len(), 100; got > most {
		t.Errorf("the kernel knows %d nodes of 300 files in 30 folders, of which nobody asked for one; want at most %d", got, most)
	}
	data, err := os.ReadFile(filepath.Join(site, "dir29", "file9"))
	if err != nil || string(data) != "content 299" {
		t.Errorf("a file that was listed by its name: got %q, %v", data, err)
	}
}

func TestListingAttributesLooksNothingUp(t *testing.T) {
	o, site := folders(t, 30)
	counts := o.since(func() { listFolders(t, site, true) })
	// More only where a second passes between a listing and the first look.
	if got, most := counts["LOOKUP"]+counts["GETATTR"], 100; got > most {
		t.Errorf("got %v for 300 files in 30 folders, want a GETATTR a folder and a few lookups", counts)
	}
}

func TestHabitsChangeAndEnd(t *testing.T) {
	var h habit
	now := time.Now()
	file := inode{made: &made{isFile: true}}
	folder := func(asks bool) {
		h.begin(now)
		if !h.namesOnly() {
			h.probing(7, file, true)
		}
		if asks {
			h.asked(7)
		}
	}
	check := func(when string, want bool) {
		t.Helper()
		if got := h.namesOnly(); got != want {
			t.Errorf("%s: only names: got %v, want %v", when, got, want)
		}
	}
	for range 5 {
		folder(true)
	}
	check("after folders that were asked for", false)
	folder(false)
	check("in the first folder that is not", false)
	folder(false)
	folder(false)
	check("in the third", true)
	h.wanted()
	check("when a file was looked up", false)
	for range 3 {
		folder(false)
	}
	check("later", true)
	now = now.Add(habitAge + 1)
	folder(false)
	check("for somebody who comes later", false)
}

var _ fuse.RawFileSystem = (*operations)(nil)
