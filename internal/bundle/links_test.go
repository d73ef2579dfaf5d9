package bundle

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/regfs/regfs/internal/layer"
)

// entriesOf reads "a/b" as a file, "a/" as a folder, "a -> b" as a link.
func entriesOf(names ...string) []layer.PackEntry {
	list := []layer.PackEntry{{Name: rootDir, Type: fs.ModeDir}}
	for _, n := range names {
		e := layer.PackEntry{}
		link, target, isLink := strings.Cut(n, " -> ")
		dir, isDir := strings.CutSuffix(n, "/")
		switch {
		case isLink:
			e.Type, e.Link, n = fs.ModeSymlink, target, link
		case isDir:
			e.Type, n = fs.ModeDir, dir
		}
		e.Name = path.Join(rootDir, n)
		list = append(list, e)
	}
	return list
}

func TestLinksAreFollowedAsTheKernelDoes(t *testing.T) {
	others := []string{"a.txt", "dir/", "dir/b.txt", "dir/deep/", "dir/deep/c.txt", "short -> dir/deep", "out2 -> short/../../..",
		"loop1 -> loop2", "loop2 -> loop1"}
	for _, c := range []struct {
		link string
		want destination
	}{
		{"l -> a.txt", leadsIn},
		{"l -> ./a.txt", leadsIn},
		{"l -> dir/deep/../b.txt", leadsIn},
		{"dir/l -> ../a.txt", leadsIn},
		{"dir/l -> ..", leadsIn},
		{"dir/deep/l -> ../../a.txt", leadsIn},
		{"l -> .", leadsIn},
		{"l -> dir/", leadsIn},
		{"l -> short/c.txt", leadsIn},
		{"l -> short/../b.txt", leadsIn}, // of dir/deep, not of the link's own folder
		{"l -> short/../a.txt", leadsNowhere},
		{"l -> nothing", leadsNowhere},
		{"l -> nothing/../a.txt", leadsNowhere},
		{"l -> l", leadsNowhere},
		{"l -> loop1", leadsNowhere},
		{"l -> loop1/x", leadsNowhere},
		{"l -> /etc/passwd", leadsOut},
		{"l -> /", leadsOut},
		{"l -> ..", leadsOut},
		{"l -> ../app/a.txt", leadsOut},
		{"dir/l -> ../../x", leadsOut},
		{"l -> dir/../../x", leadsOut},
		{"l -> short/../../..", leadsOut},
		{"l -> out2", leadsOut},
		{"l -> nothing/../../x", leadsOut},
	} {
		name, _, _ := strings.Cut(c.link, " -> ")
		m := newLinkMap(entriesOf(append(others, c.link)...))
		if got := m.follow(name); got != c.want {
			t.Errorf("%q: got %d, want %d", c.link, got, c.want)
		}
	}
}

func TestLinksAreFollowedUpToTheLimit(t *testing.T) {
	names := []string{"end"}
	for i := range maxLinks + 1 {
		target := "end"
		if i > 0 {
			target = fmt.Sprintf("l%d", i-1)
		}
		names = append(names, fmt.Sprintf("l%d -> %s", i, target))
	}
	m := newLinkMap(entriesOf(names...))
	if got, want := m.follow(fmt.Sprintf("l%d", maxLinks-1)), leadsIn; got != want {
		t.Errorf("%d links: got %d, want %d", maxLinks, got, want)
	}
	if got, want := m.follow(fmt.Sprintf("l%d", maxLinks)), leadsNowhere; got != want {
		t.Errorf("%d links: got %d, want %d", maxLinks+1, got, want)
	}
}
