package bundle

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// warnings are what there is to say of the folder once all of it was read.
func (f *folder) warnings() []Warning {
	var w []Warning
	add := func(text string, p places) {
		if n := len(p.shown) + p.more; n > 0 {
			w = append(w, Warning{fmt.Sprintf(text, n), p.shown, p.more})
		}
	}
	add("URLs that begin with a slash (%d): they work where the site has a host of its own; below /REPOSITORY/VERSION/ a browser is sent on by the page that it comes from, which costs a request each, so write them relative to the page where you can", f.pages.rootRelative)
	add("keys of the configuration that this version does not know (%d): they are stored and do nothing", f.unknownKeys())
	add("rules that can never count, or lead to nothing (%d)", f.emptyRules())
	add("rules that only work where nginx/rules.conf is used (%d): without it a redirect from one path is a page that leads on, and the others do nothing", f.rulesForEndpoint())
	add("headers that nginx/rules.conf does not send as it comes (%d): it needs two lines more for each", f.unsentHeaders())
	add("names that differ only in case (%d): some file systems hold only one of the two, rename one", f.caseTwins())
	add("symbolic links to nothing that is packed (%d)", f.danglingLinks())
	add("left out, because the result goes there (%d)", f.left)
	return w
}

// unknownKeys are the keys of the configuration that somebody else may know.
func (f *folder) unknownKeys() (keys places) {
	for _, key := range slices.Sorted(maps.Keys(f.settings.Other)) {
		keys.add(shownName(key))
	}
	return keys
}

// caseTwins are the names in one folder that are equal but for upper and lower
// case.
func (f *folder) caseTwins() (twins places) {
	seen := make(map[string]string, len(f.entries))
	for _, e := range f.entries[1:] {
		p := e.Name[len(rootDir)+1:]
		dir, base := path.Split(p)
		folded := dir + strings.ToLower(base)
		if other, ok := seen[folded]; ok {
			twins.add(shownName(other) + " and " + shownName(p))
			continue
		}
		seen[folded] = p
	}
	return twins
}

// Lines is the warning as it is shown to people.
func (w Warning) Lines() []string {
	p := places{w.Places, w.More}
	return append([]string{w.Text}, p.lines()...)
}
