package namespace

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/registry"
)

// Options says what a namespace is made of.
type Options struct {
	Registry *registry.Client
	Store    *cache.Store
	// Refresh is how old the answer to "what does this tag name" may get.
	Refresh time.Duration
	// Repositories, if there are any, are the only ones that exist: names, or
	// patterns as of path.Match.
	Repositories []string
	// Pinned are tags whose versions are kept in the store as a whole.
	Pinned []registry.Reference
	// KeepAssets is for how long files with a fingerprint in their name are found
	// in versions that a tag does not name any more; 0 is not at all.
	KeepAssets time.Duration
	// Platform is the one whose image is shown of an index with several.
	Platform manifest.Platform
	// MaxIndex is how many bytes of memory reading the names of one version may
	// take; 0 is the usual.
	MaxIndex int64
}

// Live is the namespace: which repositories and tags there are, and which site
// each tag names right now. It is the only thing that changes over time. What
// it learned it keeps, so that it can start while the registry is away.
type Live struct {
	registry   *registry.Client
	store      *cache.Store
	platform   manifest.Platform
	refresh    time.Duration
	keepAssets time.Duration
	loader     *site.Loader
	health     *site.Health
	names      *names
	absent     *absences
	aliases    *aliases
	bad        *badVersions
	checks     *budget // for requests that follow known tags
	questions  *questions
	maybes     *maybes
	now        func() time.Time
	tagLists   *tagLists
	heard      sync.Map // ref to answer: of which a version is being made that nobody has seen yet

	mu      sync.Mutex
	tags    map[ref]*tag
	fixed   map[pin]*fixedSite
	pinned  map[ref]*pinnedTag // the keys never change
	moves   atomic.Int64       // of tags to other versions
	dirty   bool               // something is to be kept
	changed func(dir, name string)

	wake     chan struct{} // holds one when something is to be kept
	news     chan struct{} // holds one when a tag is to be checked now
	learning chan struct{} // slots for repositories of which there is news
	listed   chan struct{} // closed when the first try to list all repositories has ended

	ctx    context.Context // of what goes on behind, until Close
	stop   context.CancelFunc
	wait   sync.WaitGroup
	closed bool // nothing more is begun; mu guards it
}

// ref is a tag of a repository.
type ref struct{ repo, tag string }

// pin is a manifest or index of a repository.
type pin struct {
	repo   string
	digest digest.Digest
}

// Entry is what a name in the mount is: a site, or a folder of more names.
type Entry struct {
	Site  *site.Site // nil for a folder
	Fixed bool       // the name can never mean another site
}

// Open starts a namespace with what the store knows of it.
func Open(o Options) *Live {
	ctx, stop := context.WithCancel(context.Background())
	loader := site.NewLoader(ctx, site.Options{Registry: o.Registry, Store: o.Store, Platform: o.Platform, MaxIndex: o.MaxIndex})
	l := &Live{
		registry: o.Registry, store: o.Store, platform: o.Platform, refresh: o.Refresh, keepAssets: o.KeepAssets,
		loader: loader, health: loader.Health(),
		names: newNames(o.Repositories), absent: &absences{now: time.Now}, aliases: newAliases(), bad: &badVersions{now: time.Now},
		checks: newBudget(checksPerSecond), questions: newQuestions(), maybes: &maybes{now: time.Now}, tagLists: newTagLists(), now: time.Now,
		tags: map[ref]*tag{}, fixed: map[pin]*fixedSite{}, pinned: map[ref]*pinnedTag{}, ctx: ctx, stop: stop,
		wake:     make(chan struct{}, 1),
		news:     make(chan struct{}, 1),
		learning: make(chan struct{}, learnAtOnce),
		listed:   make(chan struct{}),
		changed:  func(string, string) {},
	}
	l.restore()
	for _, p := range o.Pinned {
		r := ref{p.Repository, p.Tag}
		l.pinned[r] = &pinnedTag{ref: r, state: PinFetching}
	}
	l.wait.Go(func() { l.follow(ctx) })
	l.wait.Go(func() { l.saveChanges(ctx) })
	l.wait.Go(func() { l.followCatalog(ctx) })
	l.wait.Go(func() { l.followAliases(ctx) })
	for _, p := range l.pinned {
		l.wait.Go(func() { l.keepPinned(ctx, p) })
	}
	return l
}

// OnChange has f called, from any goroutine and with no lock held, when the
// meaning of name in the folder dir of the mount has changed.
func (l *Live) OnChange(f func(dir, name string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed = f
}

// WaitListed waits until the registry has said which repositories it has, or
// that it does not say, but not for longer than ctx.
func (l *Live) WaitListed(ctx context.Context) {
	select {
	case <-l.listed:
	case <-ctx.Done():
	}
}

// behind runs f apart from whoever asked. Close waits for it.
func (l *Live) behind(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.wait.Go(f)
	}
}

// Close ends all work and keeps what was learned.
func (l *Live) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.wait.Wait()
	l.loader.Wait()
	l.save()
}

// Lookup tells what name is in the folder dir of the mount, "" for its root.
//
// Errors:
//   - fs.ErrNotExist when the registry said so, or the name cannot exist
//   - fs.ErrPermission when the registry does not let us know
//   - registry.ErrUnavailable and others when nothing is known
func (l *Live) Lookup(ctx context.Context, dir, name string) (Entry, error) {
	if dir == HostsFolder {
		return l.lookupHost(ctx, name)
	}
	if i := strings.IndexAny(name, "@:"); i > 0 {
		return l.lookupReference(ctx, path.Join(dir, name[:i]), name[i], name[i+1:])
	}
	full := path.Join(dir, name)
	if l.names.isFolder(full) { // the repository wins
		l.confirmSoon(full)
		return Entry{}, nil
	}
	till := time.Now().Add(answerBudget)
	tagged, err := l.lookupTag(ctx, ref{dir, name})
	if err == nil && (tagged.known || l.names.complete(catalogUsable)) {
		return Entry{Site: tagged.site}, nil
	}
	is, repoErr := l.isRepository(ctx, full, till)
	switch {
	case is:
		return Entry{}, nil
	case err == nil:
		return Entry{Site: tagged.site}, nil
	case repoErr != nil && saysNothing(err):
		return Entry{}, repoErr
	case repoErr != nil:
		return Entry{}, err
	}
	return Entry{}, l.absence(ctx, full, till, err)
}

// saysNothing tells an error that leaves open what a name is from one that says what
// is wrong with the tag of that name.
func saysNothing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrBusy)
}

// absence gives err unless name is a folder above repositories, which only the
// list of all of them can tell: at the start that is on its way.
func (l *Live) absence(ctx context.Context, name string, till time.Time, err error) error {
	if !registry.ValidRepository(name) {
		return err
	}
	if err := l.awaitList(ctx, till); err != nil {
		return err
	}
	if l.names.isFolder(name) {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		l.names.miss()
		if l.isMaybe(name) {
			return nil
		}
	}
	return err
}

// lookupReference resolves repo@digest, repo@tag, repo@alias and repo:tag, which no
// repository's name can collide with.
func (l *Live) lookupReference(ctx context.Context, repo string, sep byte, reference string) (Entry, error) {
	if d, err := digest.Parse(reference); err == nil && sep == '@' {
		s, err := l.lookupDigest(ctx, pin{repo, d})
		return Entry{Site: s, Fixed: true}, err
	}
	r := ref{repo, reference}
	if sep == '@' && l.aliases.has(r) {
		s, err := l.lookupAlias(ctx, r)
		return Entry{Site: s}, err
	}
	tagged, err := l.lookupTag(ctx, r)
	if sep == '@' && errors.Is(err, fs.ErrNotExist) && l.names.allowed(repo) && isAlias(reference) {
		s, err := l.lookupAlias(ctx, r)
		return Entry{Site: s}, err
	}
	return Entry{Site: tagged.site}, err
}

// List gives the names in the folder dir: repositories, folders of them, and
// tags. While the registry is away, and where it does not list, it is what is
// known from before. The errors are those of Lookup.
func (l *Live) List(ctx context.Context, dir string) ([]string, error) {
	if dir == HostsFolder {
		return nil, nil // the same sites again
	}
	if dir == "" || !l.names.isRepository(dir) {
		if !l.names.complete(l.refresh) {
			err := l.readCatalog(ctx)
			if errors.Is(err, context.Canceled) { // who asked has left, and what is known is not the answer
				return nil, err
			}
			if err != nil {
				slog.Debug("listing from memory", "event", "no_catalog", "err", err)
			}
		}
		return l.names.list(dir), nil
	}
	tags, err := l.readTags(ctx, dir)
	return union(l.names.list(dir), tags), err
}
