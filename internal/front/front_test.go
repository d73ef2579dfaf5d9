package front

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"github.com/regfs/regfs/internal/compare"
	"github.com/regfs/regfs/internal/namespace"
	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/tree"
	"github.com/regfs/regfs/registry"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// world is a Source and a Store in memory. Its registry is a map of
// "repository:tag" to a version.
type world struct {
	mu       sync.Mutex
	tags     map[string]string
	refuses  map[string]bool // repositories of which it does not tell the tags
	public   bool            // it does not list its repositories
	shown    []namespace.Shown
	requests map[string]int // by kind
	docs     map[string][]byte
}

func newWorld(tags ...string) *world {
	w := &world{tags: map[string]string{}, requests: map[string]int{}, docs: map[string][]byte{}, refuses: map[string]bool{}}
	for i := 0; i < len(tags); i += 2 {
		w.tags[tags[i]] = tags[i+1]
	}
	return w
}

// index and manifestOf are the digests of a version.
func indexOf(version string) digest.Digest    { return digest.FromString("index " + version) }
func manifestOf(version string) digest.Digest { return digest.FromString("manifest " + version) }

func (w *world) do(kind string) func() {
	w.mu.Lock()
	w.requests[kind]++
	return w.mu.Unlock
}

func (w *world) count(kind string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests[kind]
}

func (w *world) put(name, version string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tags[name] = version
}

func (w *world) Registry() string         { return "example.org" }
func (w *world) Key() string              { return "key" }
func (w *world) Allowed(r string) bool    { return r != "hidden" }
func (w *world) Lists() bool              { return !w.public }
func (w *world) Shown() []namespace.Shown { defer w.do("shown")(); return slices.Clone(w.shown) }

func (w *world) Repositories(context.Context) []string {
	defer w.do("catalog")()
	repos := map[string]bool{}
	for name := range w.tags {
		repo, _, _ := strings.Cut(name, ":")
		repos[repo] = true
	}
	for repo := range w.refuses {
		repos[repo] = true
	}
	return slices.Sorted(func(yield func(string) bool) {
		for r := range repos {
			if !yield(r) {
				return
			}
		}
	})
}

func (w *world) HasRepository(_ context.Context, repo string) (bool, error) {
	defer w.do("repository")()
	return repo == "new", nil
}

func (w *world) Tags(_ context.Context, repo string) ([]string, error) {
	defer w.do("tags " + repo)()
	w.requests["tags"]++
	switch {
	case w.refuses[repo]:
		return nil, fs.ErrPermission
	case repo == "broken-repo":
		return nil, fmt.Errorf("%w: 500", registry.ErrUnavailable)
	}
	var tags []string
	for name := range w.tags {
		if r, tag, _ := strings.Cut(name, ":"); r == repo {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags, nil
}

func (w *world) Head(_ context.Context, repo, tag string) (digest.Digest, error) {
	defer w.do("head " + repo)()
	w.requests["head"]++
	v, ok := w.tags[repo+":"+tag]
	switch {
	case !ok:
		return "", fs.ErrNotExist
	case v == "lost":
		return "", fmt.Errorf("%w: 500", registry.ErrUnavailable)
	}
	return indexOf(v), nil
}

func (w *world) Describe(_ context.Context, _ string, d digest.Digest) (site.Description, error) {
	defer w.do("describe")()
	for _, v := range w.tags {
		if indexOf(v) == d {
			if strings.HasPrefix(v, "bad") {
				return site.Description{}, errors.New("not something that can be mounted")
			}
			return site.Description{Manifest: manifestOf(v), Size: int64(len(v))}, nil
		}
	}
	return site.Description{}, fs.ErrNotExist
}

func (w *world) Tree(_ context.Context, _ string, d digest.Digest, fetch bool) (*tree.Tree, error) {
	defer w.do("tree")()
	for _, v := range w.tags {
		if manifestOf(v) == d {
			if !fetch && len(w.shown) == 0 {
				return nil, fs.ErrNotExist
			}
			if strings.HasPrefix(v, "odd") {
				return nil, errors.New("not a layer of any known format")
			}
			if strings.HasPrefix(v, "far") {
				return nil, fmt.Errorf("%w: no route to host", registry.ErrUnavailable)
			}
			return treeOf(v)
		}
	}
	return nil, fs.ErrNotExist
}

// treeOf is a site of one page whose content is the version.
func treeOf(version string) (*tree.Tree, error) {
	b := tree.NewBuilder()
	m := b.AddMember(0, 0, 10)
	chunk := tree.Chunk{Digest: sha256.Sum256([]byte(version)), Size: int64(len(version)), Member: m}
	if err := b.Create("index.html", []tree.Chunk{chunk}); err != nil {
		return nil, err
	}
	t, _, err := b.Freeze(".")
	return t, err
}

func (w *world) LoadDocument(name string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d, ok := w.docs[name]; ok {
		return d, nil
	}
	return nil, fs.ErrNotExist
}

func (w *world) SaveDocument(name string, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.docs[name] = data
	return nil
}

// open starts a front that looks again as soon as it may.
func open(t *testing.T, w *world) *Front {
	t.Helper()
	f := New(w, w, 10*time.Millisecond)
	t.Cleanup(f.Close)
	return f
}

func read(t *testing.T, f *Front) (s sites) {
	t.Helper()
	data, fixed, err := f.Document(t.Context(), "sites.json")
	if err != nil || fixed {
		t.Fatalf("sites.json: fixed %v, %v", fixed, err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// until reads sites.json until it is as it should be.
func until(t *testing.T, f *Front, what string, holds func(sites) bool) sites {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s := read(t, f)
		if holds(s) {
			return s
		}
		if time.Now().After(end) {
			text, _ := json.MarshalIndent(s, "", " ")
			t.Fatalf("%s does not come:\n%s", what, text)
		}
	}
}

func done(s sites) bool { return len(s.Repositories) > 0 && s.Pending == 0 }

func find(s sites, repo, name string) *tag {
	for _, r := range s.Repositories {
		for i := range r.Tags {
			if r.Name == repo && r.Tags[i].Name == name {
				return &r.Tags[i]
			}
		}
	}
	return nil
}

func TestSitesTellWhatTagsName(t *testing.T) {
	w := newWorld("my-app:v1", "one", "my-app:v2", "twoo", "my-app:latest", "twoo", "team/docs:v1", "one", "broken:v1", "bad")
	s := until(t, open(t, w), "the whole list", done)
	if s.Version != 1 || s.Registry != "example.org" || s.Problem != "" {
		t.Errorf("got version %d, registry %q, problem %q", s.Version, s.Registry, s.Problem)
	}
	var names []string
	for _, r := range s.Repositories {
		for _, tag := range r.Tags {
			names = append(names, r.Name+":"+tag.Name)
		}
	}
	if want := []string{"broken:v1", "my-app:latest", "my-app:v1", "my-app:v2", "team/docs:v1"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	latest, v2 := find(s, "my-app", "latest"), find(s, "my-app", "v2")
	if latest.Digest != v2.Digest || latest.Digest != indexOf("twoo") {
		t.Errorf("got %s and %s, want %s for both", latest.Digest, v2.Digest, indexOf("twoo"))
	}
	if v := s.Versions[v2.Digest]; v.Manifest != manifestOf("twoo") || v.Size != 4 || v.Files != 0 {
		t.Errorf("got %+v, want the manifest, 4 bytes, and files not known", v)
	}
	if v := s.Versions[indexOf("bad")]; v.Problem == "" || v.Manifest != "" {
		t.Errorf("got %+v for what is no site, want a problem", v)
	}
	if latest.Before == nil || latest.Pushed != nil || latest.Host != "latest--my-app" || latest.Path != "" {
		t.Errorf("got %+v, want that it was there before, its host, and no path", latest)
	}
	if n := w.count("describe"); n != 3 {
		t.Errorf("%d versions were asked for, want each of 3 once", n)
	}
}

func TestSitesFollowTheRegistry(t *testing.T) {
	w := newWorld("my-app:v1", "one", "my-app:latest", "one")
	f := open(t, w)
	until(t, f, "the list", done)
	w.put("my-app:latest", "two")
	w.put("my-app:v2", "two")
	s := until(t, f, "the moved tag", func(s sites) bool {
		tag := find(s, "my-app", "latest")
		return tag.Digest == indexOf("two") && done(s)
	})
	for _, name := range []string{"latest", "v2"} {
		if tag := find(s, "my-app", name); tag.Pushed == nil || tag.Before != nil {
			t.Errorf("%s: got %+v, want when it was pushed", name, tag)
		}
	}
	if tag := find(s, "my-app", "v1"); tag.Pushed != nil {
		t.Errorf("v1: got %+v, want what it was", tag)
	}
	w.mu.Lock()
	delete(w.tags, "my-app:latest")
	w.mu.Unlock()
	until(t, f, "the end of the deleted tag", func(s sites) bool { return find(s, "my-app", "latest") == nil })
}

func TestNewsIsLookedAtBeforeItsTurn(t *testing.T) {
	w := newWorld("my-app:v1", "one", "other:v1", "one")
	f := New(w, w, time.Hour)
	defer f.Close()
	until(t, f, "the list", done)
	w.put("my-app:v1", "two")
	w.put("my-app:v2", "two")
	asked := w.count("tags other") + w.count("head other")
	f.News("my-app", "v1")
	f.News("nowhere", "v1")
	s := until(t, f, "the news", func(s sites) bool { return find(s, "my-app", "v1").Digest == indexOf("two") && done(s) })
	for _, name := range []string{"v1", "v2"} {
		if tag := find(s, "my-app", name); tag == nil || tag.Pushed == nil {
			t.Errorf("%s: got %+v, want when it was pushed", name, tag)
		}
	}
	if n := w.count("tags other") + w.count("head other") - asked; n != 0 {
		t.Errorf("it took %d questions about a repository of which there was no news", n)
	}
	w.put("new:v1", "one")
	f.News("new", "v1")
	until(t, f, "the new repository", func(s sites) bool { return find(s, "new", "v1") != nil })
}

func TestNobodyLooksNothingIsAsked(t *testing.T) {
	w := newWorld("my-app:v1", "one")
	f := open(t, w)
	if _, _, err := f.Document(t.Context(), "index.html"); err != nil {
		t.Fatal(err)
	}
	if n := w.count("catalog") + w.count("tags") + w.count("head"); n != 0 {
		t.Errorf("the registry was asked %d times before anybody looked", n)
	}
	until(t, f, "the list", done)
	// The last look may be followed by one round.
	settled := func() int { time.Sleep(50 * time.Millisecond); return w.count("catalog") }
	before := settled()
	for range 3 {
		settled()
	}
	if after := w.count("catalog"); after > before+1 {
		t.Errorf("the registry was asked for its list %d times after the last look", after-before)
	}
}

func TestTheSameListIsTheSameBytes(t *testing.T) {
	f := open(t, newWorld("my-app:v1", "one"))
	until(t, f, "the list", done)
	a, _, _ := f.Document(t.Context(), "sites.json")
	b, _, _ := f.Document(t.Context(), "sites.json")
	if &a[0] != &b[0] {
		t.Error("the list was made twice though nothing changed")
	}
}

func TestWhatIsFollowedCostsNoRequest(t *testing.T) {
	w := newWorld("my-app:v1", "one")
	w.shown = []namespace.Shown{{Repository: "my-app", Tag: "v1", Digest: indexOf("one"), Manifest: manifestOf("one"), Checked: time.Now().Add(time.Hour)}}
	s := until(t, open(t, w), "the files", func(s sites) bool { return s.Versions[indexOf("one")].Files == 1 })
	if v := s.Versions[indexOf("one")]; v.Bytes != 3 {
		t.Errorf("got %+v, want 3 bytes", v)
	}
	if n := w.count("head"); n != 0 {
		t.Errorf("the registry was asked %d times what the tag names", n)
	}
}

// TestPublicRegistriesAreAskedLittle: they count every manifest that is read.
func TestPublicRegistriesAreAskedLittle(t *testing.T) {
	w := newWorld("my-app:v1", "one", "my-app:v2", "two")
	w.public = true
	w.shown = []namespace.Shown{{Repository: "my-app", Tag: "v1", Digest: indexOf("one"), Manifest: manifestOf("one"), Checked: time.Now()}}
	s := until(t, open(t, w), "the list", func(s sites) bool { return done(s) && s.Versions[indexOf("one")].Manifest != "" })
	if v := s.Versions[indexOf("two")]; v.Manifest != "" {
		t.Errorf("got %+v of a version that nobody opened, want nothing", v)
	}
	if n := w.count("describe"); n != 1 {
		t.Errorf("%d manifests were read, want the one that was opened", n)
	}
}

func TestARepositoryHidesATagOfItsPath(t *testing.T) {
	w := newWorld("a:b", "one", "a:c", "one", "a/b/d:v1", "one")
	s := until(t, open(t, w), "the list", done)
	if got := find(s, "a", "b").Path; got != "a:b" {
		t.Errorf("got path %q, want a:b", got)
	}
	if got := find(s, "a", "c").Path; got != "" {
		t.Errorf("got path %q for one that nothing hides", got)
	}
}

func TestARefusedRepositorySaysSo(t *testing.T) {
	w := newWorld("my-app:v1", "one")
	w.refuses["private"] = true
	s := until(t, open(t, w), "the list", func(s sites) bool { return done(s) && len(s.Repositories) == 2 })
	if r := s.Repositories[1]; r.Name != "private" || r.Problem == "" || len(r.Tags) != 0 {
		t.Errorf("got %+v, want the reason and no tags", r)
	}
	if s.Problem != "" {
		t.Errorf("got problem %q, want none of the registry", s.Problem)
	}
}

// TestWhatIsBrokenKeepsNothingFromOthers: a repository and a tag of which the
// registry never says anything.
func TestWhatIsBrokenKeepsNothingFromOthers(t *testing.T) {
	tags := []string{"broken-repo:v1", "one", "z:lost", "lost"}
	for i := range 50 {
		tags = append(tags, fmt.Sprintf("r%02d:v1", i), "one")
	}
	w := newWorld(tags...)
	s := until(t, open(t, w), "all others", func(s sites) bool { return s.Pending == 1 })
	if r := s.Repositories[0]; r.Name != "broken-repo" || r.Problem == "" {
		t.Errorf("got %+v, want the reason", r)
	}
	if s.Problem != "" {
		t.Errorf("got problem %q of all", s.Problem)
	}
}

func TestTheListOutlivesTheDaemon(t *testing.T) {
	w := newWorld("my-app:v1", "one", "my-app:v2", "two")
	f := New(w, w, 10*time.Millisecond)
	want := until(t, f, "the list", done)
	f.Close()
	w.mu.Lock()
	w.tags = map[string]string{"my-app:v1": "one", "my-app:v2": "two"}
	asked := w.requests["describe"]
	w.mu.Unlock()

	f = New(w, w, time.Hour)
	defer f.Close()
	got := read(t, f)
	if len(got.Versions) != 2 || got.Versions[indexOf("two")].Manifest != want.Versions[indexOf("two")].Manifest {
		t.Errorf("got %+v, want %+v", got.Versions, want.Versions)
	}
	if tag := find(got, "my-app", "v1"); tag == nil || tag.Host != "v1--my-app" {
		t.Errorf("got %+v, want the tag with its host", tag)
	}
	if n := w.count("describe"); n != asked {
		t.Errorf("%d versions were asked for again", n-asked)
	}
}

// TestWhatMayNotBeShownAnyMoreIsForgotten: the flags may be others now.
func TestWhatMayNotBeShownAnyMoreIsForgotten(t *testing.T) {
	w := newWorld("my-app:v1", "one", "hidden:v1", "one")
	f := New(w, w, 10*time.Millisecond)
	until(t, f, "the list", done)
	f.Close()
	f = New(w, w, time.Hour)
	defer f.Close()
	f.index.mu.Lock()
	defer f.index.mu.Unlock()
	if f.index.repos["hidden"] != nil || f.index.repos["my-app"] == nil {
		t.Errorf("got %v, want my-app alone", f.index.repos)
	}
}

func TestDamagedMemoryIsForgotten(t *testing.T) {
	for _, kept := range []string{"", "{", `{"version":2}`, `{"version":1,"repositories":[{"name":"a","tags":[{"name":"t","digest":"sha256:1"}]}],"versions":{"sha256:1":{}}}`} {
		w := newWorld("my-app:v1", "one")
		f := New(w, w, time.Hour)
		w.docs[f.keptName()] = []byte(kept)
		f.Close()
		f = New(w, w, time.Hour)
		until(t, f, "the list", done)
		f.Close()
	}
}

func TestDiffComparesWhatIsShown(t *testing.T) {
	w := newWorld("my-app:v1", "one", "my-app:v2", "twoo")
	f := open(t, w)
	until(t, f, "the list", done)
	for _, pair := range [][2]digest.Digest{
		{manifestOf("one"), manifestOf("twoo")}, {indexOf("one"), indexOf("twoo")},
	} {
		data, fixed, err := f.Document(t.Context(), fmt.Sprintf("diff/%s..%s.json", pair[0], pair[1]))
		if err != nil || !fixed {
			t.Fatalf("fixed %v, %v", fixed, err)
		}
		var d compare.Document
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatal(err)
		}
		if d.From.Manifest != manifestOf("one").String() || d.To.Manifest != manifestOf("twoo").String() {
			t.Errorf("got %+v and %+v, want the manifests", d.From, d.To)
		}
		if want := (compare.Change{Kind: compare.Changed, Path: "index.html", From: 3, To: 4}); len(d.Changes) != 1 || d.Changes[0] != want {
			t.Errorf("got %+v, want %+v", d.Changes, want)
		}
	}
	for _, name := range []string{
		"", "x", "a..b.json", string(manifestOf("one")) + ".json",
		fmt.Sprintf("%s..%s", manifestOf("one"), manifestOf("twoo")),
		fmt.Sprintf("%s..%s.json", manifestOf("one"), digest.FromString("never listed")),
		fmt.Sprintf("%s..%s.json.json", manifestOf("one"), manifestOf("twoo")),
		fmt.Sprintf("../%s..%s.json", manifestOf("one"), manifestOf("twoo")),
	} {
		if _, _, err := f.Document(t.Context(), "diff/"+name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("diff/%s: got %v, want that it does not exist", name, err)
		}
	}
	until(t, f, "the number of files, which a comparison knows", func(s sites) bool { return s.Versions[indexOf("one")].Files == 1 })
}

// TestOnlyWhatMayComeIsWorthAnotherTry: a page asks again for what does not exist
// yet, not for what never will.
func TestOnlyWhatMayComeIsWorthAnotherTry(t *testing.T) {
	w := newWorld("my-app:v1", "one", "my-app:v2", "odd", "my-app:v3", "far")
	f := open(t, w)
	until(t, f, "the list", done)
	for version, never := range map[string]bool{"odd": true, "far": false} {
		_, _, err := f.Document(t.Context(), fmt.Sprintf("diff/%s..%s.json", manifestOf("one"), manifestOf(version)))
		if err == nil || errors.Is(err, fs.ErrNotExist) != never {
			t.Errorf("%s: got %v, want that it does not exist: %v", version, err, never)
		}
	}
}

func TestLongComparisonsAreCut(t *testing.T) {
	var r compare.Result
	for range maxListed {
		r.Changes = append(r.Changes, compare.Change{Path: strings.Repeat("x", 4000)})
	}
	got := shorten(r)
	if n := len(got.Changes); n != maxListedBytes/4000 || got.Omitted != maxListed-n {
		t.Errorf("got %d changes and %d omitted, want %d bytes of names", n, got.Omitted, maxListedBytes)
	}
}

func TestTheBudgetSpreadsRequests(t *testing.T) {
	now := time.Now()
	b := &budget{now: func() time.Time { return now }}
	for i := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		err := b.enter(ctx, 1)
		cancel()
		if (err == nil) != (i == 0) {
			t.Errorf("request %d of a second: got %v", i, err)
		}
	}
	if want := now.Add(3 * time.Second); !b.next.Equal(want) {
		t.Errorf("the next may go out after %v, want %v", b.next.Sub(now), want.Sub(now))
	}
}

func TestEveryFileOfThePageIsServed(t *testing.T) {
	f := open(t, newWorld())
	entries, err := page.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	names := f.Names()
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			t.Errorf("%s is not listed", e.Name())
		}
		if data, fixed, err := f.Document(t.Context(), e.Name()); err != nil || !fixed || len(data) == 0 {
			t.Errorf("%s: got %d bytes, fixed %v, %v", e.Name(), len(data), fixed, err)
		}
	}
	if len(names) != len(entries)+1 {
		t.Errorf("got names %q for %d files", names, len(entries))
	}
	for _, name := range []string{"page", "../front.go", "front.html", "diff"} {
		if _, _, err := f.Document(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want that it does not exist", name, err)
		}
	}
}

// TestThePageRunsNothingOfOthers: the policy forbids it, and no code makes
// elements of text.
func TestThePageRunsNothingOfOthers(t *testing.T) {
	html, err := page.ReadFile("page/index.html")
	if err != nil {
		t.Fatal(err)
	}
	if want := `content="default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"`; !strings.Contains(string(html), want) {
		t.Errorf("the page has no policy %s", want)
	}
	for _, name := range pageFiles {
		text, err := page.ReadFile("page/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser", " style=", "http://", "https://", "<script>"} {
			if strings.Contains(strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", ""), bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
	}
}

func FuzzParseDiff(f *testing.F) {
	f.Add(fmt.Sprintf("%s..%s.json", manifestOf("one"), manifestOf("two")))
	f.Add("..json")
	f.Add("sha256:..sha256:.json")
	f.Fuzz(func(t *testing.T, name string) {
		from, to, err := parseDiff(name)
		if err == nil && (fmt.Sprintf("%s..%s.json", from, to) != name || from.Validate() != nil || to.Validate() != nil) {
			t.Errorf("%q was taken for %s and %s", name, from, to)
		}
	})
}

func BenchmarkSites(b *testing.B) {
	x := &index{}
	x.begin("example.org", 10*time.Second)
	x.setRepositories([]string{"my-app"}, true)
	var names []string
	for i := range 2000 {
		names = append(names, fmt.Sprintf("v%04d", i))
	}
	x.setTags("my-app", names, time.Now())
	for _, name := range names {
		x.setDigest("my-app", name, indexOf(name), time.Now(), time.Now())
		x.describeAs(indexOf(name), site.Description{Manifest: manifestOf(name), Size: 1 << 20})
	}
	b.ReportAllocs()
	for b.Loop() {
		x.mu.Lock()
		data := x.encode()
		x.mu.Unlock()
		b.SetBytes(int64(len(data)))
	}
}
