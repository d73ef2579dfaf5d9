package fs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/regfs/regfs/internal/tree"
)

// TestFilesReadInARowAreNotAskedForOneByOne also shows that what is given is
// what the files hold.
func TestFilesReadInARowAreNotAskedForOneByOne(t *testing.T) {
	const n = 40
	w := newWorld(t)
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("dir/file-%02d", i)] = fmt.Sprint("content ", i)
	}
	w.publish("my-app", "v1", files)
	o := &operations{FS: w.newFS()}
	dir := filepath.Join(w.mount(o), "my-app", "v1", "dir")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != n {
		t.Fatalf("got %d files, %v", len(entries), err)
	}
	for _, e := range entries { // the kernel knows them all
		if _, err := e.Info(); err != nil {
			t.Fatal(err)
		}
	}
	read := func(from, to int) {
		for i := from; i < to; i++ {
			name := fmt.Sprintf("file-%02d", i)
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || string(got) != files["dir/"+name] {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
		}
	}
	read(0, 6) // the small site is here as a whole now
	o.gifts.settle(t)
	const rest = 6 + giftLead
	read(6, rest)
	if counts := o.since(func() { read(rest, 25) }); counts["READ"] > (25-rest)/2 {
		t.Errorf("got %v for %d files in a row, want a READ for few of them", counts, 25-rest)
	}
	read(25, n)
	read(0, n)
}

// settle waits until all that waits has been given.
func (g *gifts) settle(t *testing.T) {
	t.Helper()
	for range 2 { // once the second is taken, the first has been given, and all before it
		g.queue <- window{}
	}
	for limit := time.Now().Add(time.Minute); len(g.queue) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("nothing is given")
		}
	}
}

func TestOnlyReadersWhoGoOnAreGivenFiles(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 100 {
		files[fmt.Sprintf("dir/file-%02d", i)] = fmt.Sprint("content ", i)
	}
	w.publish("my-app", "v1", files)
	f := w.newFS()
	first, ok := f.inodes.get(nodeID(lookup(t, f, "my-app", "v1", "dir", "file-00").NodeId))
	if !ok {
		t.Fatal("a file that was looked up is not known")
	}
	for what, c := range map[string]struct {
		reads []int
		want  string
	}{
		"one file":         {[]int{3}, "[]"},
		"the same again":   {[]int{3, 3, 3, 3}, "[]"},
		"two":              {[]int{3, 4}, "[]"},
		"three":            {[]int{3, 4, 5}, "[10-37]"},
		"here and there":   {[]int{3, 50, 7, 90, 8, 9}, "[]"},
		"backwards":        {[]int{9, 8, 7, 6, 5}, "[]"},
		"what was not yet": {[]int{3, 4, 5, 8, 16}, "[10-37 37-40 40-48]"},
		"up to the end":    {[]int{90, 91, 92, 93}, "[97-100]"},
	} {
		g, got := newGifts(), []string{}
		for _, i := range c.reads {
			if w, ok := g.next(inode{site: first.site, node: first.node + tree.Node(i)}); ok {
				got = append(got, fmt.Sprintf("%d-%d", w.from-first.node, w.end-first.node))
			}
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: got %v, want %s", what, got, c.want)
		}
	}
}
