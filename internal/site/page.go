package site

import (
	"bytes"
	"net/url"
	"path"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/regfs/regfs/internal/tree"
)

const (
	// maxPage is how much of a page is looked at, in bytes.
	maxPage = 1 << 20
	// maxAssets bounds what one page can have fetched.
	maxAssets = 200
	// assetGap is how many bytes of the blob between two assets are fetched
	// along rather than asked for separately.
	assetGap = 256 << 10
)

func isPage(name string) bool {
	return strings.HasSuffix(name, ".html") || strings.HasSuffix(name, ".htm")
}

// fetchPage fetches what a page will make a browser ask for next: its scripts,
// styles and images, neighbours by one request. Nobody waits for it, and
// nothing is said if it fails: who asks for one of them will be told.
func (s *Site) fetchPage(n tree.Node) {
	first, count := s.Tree.Chunks(n)
	if count != 1 || s.Tree.Size(n) > maxPage {
		return
	}
	text, err := s.shelf.Bytes(s.Tree.Chunk(first).Digest, s.Tree.Size(n))
	if err != nil {
		return
	}
	var members []uint32
	for _, asset := range assets(text) {
		if m, ok := s.assetMember(n, asset); ok {
			members = append(members, m)
		}
	}
	slices.Sort(members)
	for _, span := range s.joined(slices.Compact(members)) {
		s.fetchMissing(span[0], span[1]+1, func(r *run) error { go r.do(); return nil })
	}
}

// assetMember finds the member of a file that page n refers to, if it is in the
// site and not here.
func (s *Site) assetMember(n tree.Node, ref string) (uint32, bool) {
	u, err := url.Parse(ref)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Path == "" {
		return 0, false
	}
	target := path.Join("/", s.Tree.Path(s.Tree.Parent(n)), u.Path)
	if strings.HasPrefix(u.Path, "/") { // as it is where the site has a host of its own
		target = path.Clean(u.Path)
	}
	file, ok := s.Tree.Walk(tree.Root, strings.TrimPrefix(target, "/"), true)
	if !ok || s.Tree.Kind(file) != tree.File || s.Local(file) {
		return 0, false
	}
	first, _ := s.Tree.Chunks(file)
	return s.Tree.Chunk(first).Member, true
}

// joined makes spans, first and last, of members between which little lies.
func (s *Site) joined(members []uint32) [][2]uint32 {
	var spans [][2]uint32
	for _, m := range members {
		if len(spans) > 0 {
			last := &spans[len(spans)-1]
			before, this := s.Tree.Member(last[1]), s.Tree.Member(m)
			if before.Layer == this.Layer && this.Offset-before.Offset-before.Size <= assetGap {
				last[1] = m
				continue
			}
		}
		spans = append(spans, [2]uint32{m, m})
	}
	return spans
}

// assets are the addresses in a page that a browser loads without being asked.
func assets(page []byte) []string {
	var found []string
	z := html.NewTokenizer(bytes.NewReader(page))
	for len(found) < maxAssets {
		switch z.Next() {
		case html.ErrorToken: // most often the end
			return found
		case html.StartTagToken, html.SelfClosingTagToken:
			if ref := asset(z.Token()); ref != "" {
				found = append(found, ref)
			}
		}
	}
	return found
}

// asset is the address that an element loads, or "".
func asset(t html.Token) string {
	switch t.DataAtom {
	case atom.Script, atom.Img:
		return attribute(t, "src")
	case atom.Link:
		for rel := range strings.FieldsSeq(strings.ToLower(attribute(t, "rel"))) {
			if slices.Contains([]string{"stylesheet", "icon", "preload", "modulepreload", "manifest"}, rel) {
				return attribute(t, "href")
			}
		}
	}
	return ""
}

func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return strings.TrimSpace(a.Val)
		}
	}
	return ""
}
