package namespace

import (
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regfs/regfs/registry"
)

const (
	// catalogFresh is how old the list of all repositories gets while names are
	// looked up. A repository that is not in it is asked for by its name, so
	// this bounds only how late one shows in listings, or wins over a tag of
	// the same name.
	catalogFresh = 30 * time.Second
	// catalogUsable is how old it may be to say that a name is no repository:
	// a lookup after a quiet hour does not wait for a new one.
	catalogUsable = time.Hour
)

// maxRepositories bounds the table of names; the registry client ends lists
// there too.
const maxRepositories = 100_000

// names are the repositories that are known to exist, and the folders that
// their names make.
type names struct {
	patterns []string
	always   map[string]bool // the folders that are shown whatever is in them: the patterns tell of them
	now      func() time.Time

	mu      sync.Mutex
	repos   map[string]time.Time       // when the registry last said that it has it
	folders map[string]map[string]bool // a folder, "" for the root, and what is in it
	listed  time.Time                  // when the registry last listed all
	asked   time.Time                  // when somebody last wanted to know
	tried   time.Time                  // when the registry was last asked to list all
	missed  time.Time                  // when somebody last asked for a name that is not there
}

func newNames(patterns []string) *names {
	n := &names{patterns: patterns, always: map[string]bool{}, now: time.Now,
		repos: map[string]time.Time{}, folders: map[string]map[string]bool{"": {}}}
	for _, p := range patterns {
		if registry.ValidRepository(p) {
			n.add(p)
			continue
		}
		folder := strings.Trim(literal(p), "/")
		n.always[folder] = true
		n.addFoldersLocked(folder)
	}
	return n
}

// literal is the leading part of a pattern that has no wildcard.
func literal(pattern string) string {
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		return strings.TrimSuffix(pattern[:i], path.Base("/"+pattern[:i])) // up to the last whole component
	}
	return pattern
}

// allowed tells whether a repository of that name may be asked for at all.
func (n *names) allowed(repo string) bool {
	if !registry.ValidRepository(repo) {
		return false
	}
	if len(n.patterns) == 0 {
		return true
	}
	return slices.ContainsFunc(n.patterns, func(p string) bool {
		ok, err := path.Match(p, repo)
		return ok && err == nil
	})
}

// add makes a repository known, if there is room for it; it tells whether it was not.
func (n *names) add(repo string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, known := n.repos[repo]
	return (known || len(n.repos) < maxRepositories) && n.addLocked(repo)
}

// keep makes a repository known of which a tag is shown: there are at most maxTags,
// and for each there is room.
func (n *names) keep(repo string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addLocked(repo)
}

func (n *names) addLocked(repo string) bool {
	if !n.allowed(repo) {
		return false
	}
	_, known := n.repos[repo]
	n.repos[repo] = n.now()
	n.addFoldersLocked(repo)
	return !known
}

// remove makes a repository unknown, unless it is one that is always to be
// shown; it tells whether it was known.
func (n *names) remove(repo string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.repos[repo]; !known || slices.Contains(n.patterns, repo) {
		return false
	}
	n.dropLocked(repo)
	return true
}

// dropLocked takes a name away, and the folders that were there for it alone.
func (n *names) dropLocked(repo string) {
	delete(n.repos, repo)
	for name := repo; name != ""; name, _ = parent(name) {
		if _, is := n.repos[name]; is || len(n.folders[name]) > 0 || n.always[name] {
			return
		}
		delete(n.folders, name)
		dir, base := parent(name)
		delete(n.folders[dir], base)
	}
}

// stale tells whether it is longer than age since the registry said that it has
// the repository, and who asks is to ask the registry: for the next ones it is
// not stale.
func (n *names) stale(repo string, age time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	said, known := n.repos[repo]
	now := n.now()
	if !known || now.Sub(said) < age {
		return false
	}
	n.repos[repo] = now
	return true
}

func (n *names) addFoldersLocked(name string) {
	for name != "" {
		dir, base := parent(name)
		if n.folders[dir] == nil {
			n.folders[dir] = map[string]bool{}
		}
		n.folders[dir][base] = true
		name = dir
	}
}

func parent(name string) (dir, base string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

// replace takes the registry's own list for all that there is. What is gone from it is
// forgotten, but for repositories of which a tag is shown, and what the registry said it
// has after the list was asked for: the end of a list that is too long makes way for
// them. A list that is not whole says nothing of what is not in it.
func (n *names) replace(list, shown []string, whole bool) {
	fresh := newNames(n.patterns)
	fresh.now = n.now
	kept := map[string]bool{}
	for _, r := range shown {
		kept[r] = true
		fresh.keep(r)
	}
	for _, r := range list {
		fresh.add(r)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for r, said := range n.repos {
		if said.After(n.tried) {
			kept[r] = true
			fresh.keep(r)
		}
	}
	for i := len(list) - 1; i >= 0 && len(fresh.repos) > maxRepositories; i-- {
		if !kept[list[i]] {
			fresh.remove(list[i])
		}
	}
	n.repos, n.folders, n.listed = fresh.repos, fresh.folders, n.now()
	if !whole {
		n.listed = time.Time{}
		slog.Warn("the registry has more repositories than are remembered", "event", "list_truncated", "remembered", len(n.repos))
	}
}

// complete tells whether the registry has listed all repositories, not too long
// ago.
func (n *names) complete(age time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = n.now()
	return !n.listed.IsZero() && n.now().Sub(n.listed) < age
}

// miss notes that somebody asked for a name that is no repository, and may be a
// folder above a new one: only a new list can tell.
func (n *names) miss() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.missed = n.now()
}

// due tells whether the list should be read again: it is in use and old, or a
// name was missed since it was read. It is not read more often than refresh.
func (n *names) due(refresh time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	age := now.Sub(n.tried)
	old := age >= catalogFresh && now.Sub(n.asked) <= catalogFresh
	return old || age >= refresh && n.missed.After(n.tried)
}

// asking notes that the registry is asked for its list.
func (n *names) asking() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tried = n.now()
}

func (n *names) isRepository(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, known := n.repos[name]
	return known
}

// isFolder tells whether name is a repository or the beginning of one's name.
func (n *names) isFolder(name string) bool {
	dir, base := parent(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.folders[dir][base]
}

// list gives what the names of repositories put into folder dir.
func (n *names) list(dir string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]string, 0, len(n.folders[dir]))
	for name := range n.folders[dir] {
		list = append(list, name)
	}
	return list
}

func (n *names) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]string, 0, len(n.repos))
	for name := range n.repos {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// union is the sorted names of both, each once.
func union(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}
