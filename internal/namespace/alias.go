package namespace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/semver"

	"github.com/regfs/regfs/internal/hostname"
	"github.com/regfs/regfs/internal/site"
)

const (
	// maxAliases bounds the aliases that are remembered; the one not looked at
	// for longest makes way, and is resolved again when it is asked for.
	maxAliases = 10_000
	// maxVersionLists bounds the repositories whose versions are remembered
	// between two questions, and versionsAge for how long, but for a part of the
	// refresh: who asks for @1, @2 and @3 has the tags listed once.
	maxVersionLists = 100
	versionsAge     = time.Second
	versionsPart    = 8
)

// latest is the alias of the highest release of a repository.
const latest = "latest"

// alias is what a name such as my-app@1 stands for: the tag with the highest
// semantic version that begins with it.
type alias struct {
	tag     string
	checked time.Time // when the registry last listed the tags
	tried   time.Time // when it was last asked to
	used    time.Time // when somebody last looked
}

// aliases are those that were looked up. Each is named by its repository and
// itself.
type aliases struct {
	mu       sync.Mutex
	known    map[ref]*alias
	versions map[string]versionList // by repository
}

// versionList is the tags of a repository at some time.
type versionList struct {
	tags []string
	at   time.Time
}

func newAliases() *aliases {
	return &aliases{known: map[ref]*alias{}, versions: map[string]versionList{}}
}

// isAlias tells whether a name can be an alias: latest, 1, 1.2, 1.2.3, also with
// a v, and 1.2.3-rc for prereleases.
func isAlias(name string) bool { return name == latest || semver.IsValid(withV(name)) }

func withV(version string) string { return "v" + strings.TrimPrefix(version, "v") }

// highest is the tag that an alias stands for among tags: the tag of that very
// name, else the highest version that fits; "" if none does. A tag is a version
// if it has all three numbers. Prereleases are for who asks for them.
func highest(name string, tags []string) (best string) {
	for _, tag := range tags {
		v := withV(tag)
		switch {
		case tag == name:
			return tag
		case semver.Canonical(v) != v || !fits(name, v):
			continue
		case best == "" || semver.Compare(v, withV(best)) > 0:
			best = tag
		}
	}
	return best
}

// fits tells whether version is one of those that an alias may stand for.
func fits(name, version string) bool {
	released := semver.Prerelease(version) == ""
	if name == latest {
		return released
	}
	want := withV(name)
	begins := version == want || strings.HasPrefix(version, want+".")
	return begins && (released || semver.Prerelease(want) != "")
}

// lookupAlias finds the site that an alias stands for now. While the registry is
// away, that is the last one known. ErrNotExist means that the registry listed
// its tags and none fits.
func (l *Live) lookupAlias(ctx context.Context, r ref) (*site.Site, error) {
	tag, fresh := l.aliases.current(r, l.now(), l.refresh)
	if !fresh {
		resolved, err := l.resolveAlias(ctx, r, tag != "")
		switch {
		case err == nil:
			tag = resolved
		case tag == "" || errors.Is(err, fs.ErrNotExist) || errors.Is(err, context.Canceled):
			return nil, err
		}
	}
	tagged, err := l.lookupTag(ctx, ref{r.repo, tag})
	if errors.Is(err, fs.ErrNotExist) {
		l.aliases.doubt(r.repo) // it was deleted: the next lookup lists the tags
		if tag, err = l.resolveAlias(ctx, r, false); err == nil {
			tagged, err = l.lookupTag(ctx, ref{r.repo, tag})
		}
	}
	return tagged.site, err
}

// resolveAlias asks the registry what an alias stands for. Who knows an answer
// already waits for no longer than for that of a tag.
func (l *Live) resolveAlias(ctx context.Context, r ref, known bool) (string, error) {
	if known {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, checkBudget)
		defer cancel()
	}
	v, err := l.loader.Do(ctx, fmt.Sprintf("alias %s@%s", r.repo, r.tag), func(ctx context.Context) (any, error) {
		return l.updateAlias(ctx, r)
	})
	tag, _ := v.(string)
	return tag, err
}

// updateAlias takes over what an alias stands for now, once that can be served.
func (l *Live) updateAlias(ctx context.Context, r ref) (string, error) {
	l.aliases.trying(r, l.now())
	tags, err := l.versions(ctx, r.repo)
	if err != nil {
		return "", err
	}
	tag := highest(r.tag, tags)
	if tag == "" {
		l.dropAlias(r)
		return "", fmt.Errorf("%s has no version that %s stands for: %w", r.repo, r.tag, fs.ErrNotExist)
	}
	if _, err := l.lookupTag(ctx, ref{r.repo, tag}); err != nil {
		return "", site.Promised(err)
	}
	if tag == r.tag { // it is a tag by now, and followed as one
		l.dropAlias(r)
		return tag, nil
	}
	if was := l.aliases.set(r, tag, l.now()); was != tag {
		l.markDirty()
		if was != "" {
			slog.Info("alias moved", "event", "alias_moved", "repo", r.repo, "alias", r.tag, "tag", tag, "was", was)
			l.announceAlias(r)
		}
	}
	return tag, nil
}

// dropAlias forgets what an alias stood for.
func (l *Live) dropAlias(r ref) {
	if l.aliases.drop(r) {
		l.markDirty()
		l.announceAlias(r)
	}
}

// versions lists the tags of a repository, or has just done so.
func (l *Live) versions(ctx context.Context, repo string) ([]string, error) {
	if tags, ok := l.aliases.listed(repo, l.now(), min(versionsAge, l.refresh/versionsPart)); ok {
		return tags, nil
	}
	v, err := l.loader.Do(ctx, "versions of "+repo, func(ctx context.Context) (any, error) {
		if err := l.health.Check(repo, "tags"); err != nil {
			return nil, err
		}
		tags, err := l.registry.Tags(ctx, repo)
		l.health.Note(err, repo, "tags")
		if err == nil {
			l.aliases.list(repo, tags, l.now())
		}
		if l.names.isRepository(repo) {
			err = site.Promised(err) // it is there: that it has no list does not say that it has no tags
		}
		return tags, err
	})
	tags, _ := v.([]string)
	return tags, err
}

// announceAlias tells that an alias means something else now.
func (l *Live) announceAlias(r ref) {
	dir, base := parent(r.repo)
	l.tell(dir, base+"@"+r.tag)
	l.tell(HostsFolder, hostname.Label(r.repo, r.tag))
}

// aliasRepeats are the pauses after which the tags of a repository of which there
// is news are listed again, for those who use its aliases: see newsRepeats. A
// list may take many requests, so there are fewer.
var aliasRepeats = [...]time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second}

// newsOfAliases has the aliases of a repository resolved again.
func (l *Live) newsOfAliases(repo string) {
	l.aliases.doubt(repo)
	used := l.aliases.in(repo, l.now().Add(-max(3*l.refresh, minUsed)))
	for _, a := range used {
		l.announceAlias(a)
	}
	if len(used) == 0 {
		return
	}
	l.behind(func() {
		_, _ = l.loader.Do(l.ctx, "news of the aliases of "+repo, func(ctx context.Context) (any, error) {
			for _, pause := range aliasRepeats {
				select {
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(pause):
				}
				l.aliases.doubt(repo)
				for _, a := range used {
					_, _ = l.resolveAlias(ctx, a, false) // whoever looks will be told
				}
			}
			return nil, nil
		})
	})
}

// followAliases keeps the aliases in use fresh, as follow does the tags.
func (l *Live) followAliases(ctx context.Context) {
	tick := time.NewTicker(max(l.refresh/4, minTick))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, r := range l.aliases.due(l.now(), l.refresh) {
			if _, err := l.resolveAlias(ctx, r, false); err != nil && ctx.Err() == nil {
				slog.Debug("alias not checked", "event", "check_failed", "repo", r.repo, "alias", r.tag, "err", err)
			}
		}
	}
}
