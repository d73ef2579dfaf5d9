package namespace

import (
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxMaybe bounds the folders of which nobody knows whether they are any; the
	// oldest make way, also in the kernel.
	maxMaybe = 1000
	// maybeAge is after how long the kernel is told to ask again for one.
	maybeAge = 30 * time.Second
)

// maybes are folders in the root that may be above repositories. A registry that
// does not list its repositories, as the largest do not, cannot say of "team" in
// team/app whether it leads anywhere: that it does not is as little known as that
// it does, and who says no makes all of team's sites unreachable.
type maybes struct {
	now func() time.Time

	mu      sync.Mutex
	since   map[string]time.Time
	deleted map[string]bool // repositories that were there: of them the registry says enough
}

// refuse notes a repository that the registry does not have any more.
func (m *maybes) refuse(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deleted == nil || len(m.deleted) >= maxMaybe {
		m.deleted = map[string]bool{}
	}
	m.deleted[name] = true
	delete(m.since, name)
}

func (m *maybes) refuses(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.deleted[name]
}

// add notes a folder; it gives those that make way for it.
func (m *maybes) add(name string) (gone []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since == nil {
		m.since = map[string]time.Time{}
	}
	if _, known := m.since[name]; !known && len(m.since) >= maxMaybe {
		oldest := name
		for other, at := range m.since {
			if o, ok := m.since[oldest]; !ok || at.Before(o) {
				oldest = other
			}
		}
		delete(m.since, oldest)
		gone = append(gone, oldest)
	}
	m.since[name] = m.now()
	return gone
}

// old takes out the folders that are to be asked for again.
func (m *maybes) old() (gone []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, at := range m.since {
		if m.now().Sub(at) >= maybeAge {
			delete(m.since, name)
			gone = append(gone, name)
		}
	}
	return gone
}

// isMaybe takes a name in the root for a folder, if the registry has neither said
// so nor listed what it has. Names with a dot are what scanners and browsers ask
// for (favicon.ico), and owners of repositories have none.
func (l *Live) isMaybe(name string) bool {
	if strings.ContainsAny(name, "./") || !l.names.isUnlisted() || !l.names.leads(name) || l.maybes.refuses(name) {
		return false
	}
	l.tellGone(l.maybes.add(name))
	return true
}

// tellGone has the kernel forget folders that were only taken for some.
func (l *Live) tellGone(folders []string) {
	for _, name := range folders {
		if !l.names.isFolder(name) {
			l.tell(parent(name))
		}
	}
}

// isUnlisted tells that the registry never said which repositories it has.
func (n *names) isUnlisted() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.listed.IsZero()
}

// leads tells whether repositories in a folder of the root may be asked for.
func (n *names) leads(folder string) bool {
	if len(n.patterns) == 0 {
		return true
	}
	return slices.ContainsFunc(n.patterns, func(p string) bool {
		first, _, more := strings.Cut(p, "/")
		ok, err := path.Match(first, folder)
		return more && ok && err == nil
	})
}
