package tree

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestWhatWasRemovedComesBack: a name has one node for ever, in whatever way what
// it was went away.
func TestWhatWasRemovedComesBack(t *testing.T) {
	for name, remove := range map[string]func(b *Builder) error{
		"alone":                 func(b *Builder) error { b.Remove("d/x"); return nil },
		"with its folder":       func(b *Builder) error { b.Remove("d"); return nil },
		"with all of a folder":  func(b *Builder) error { b.Clear("d"); return nil },
		"for a file":            func(b *Builder) error { return b.Create("d", nil) },
		"twice":                 func(b *Builder) error { b.Remove("d/x"); b.Clear("d"); return nil },
		"and its folder before": func(b *Builder) error { b.Remove("d"); b.Remove("d/x"); return b.Mkdir("d") },
	} {
		b := NewBuilder()
		steps := []func(b *Builder) error{
			func(b *Builder) error { return errors.Join(b.Create("d/x", nil), b.Create("d/y", nil)) },
			remove,
			func(b *Builder) error { return errors.Join(b.Create("d/x", nil), b.Create("d/z", nil)) },
		}
		for _, step := range steps {
			b.BeginLayer()
			if err := step(b); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		b.Remove("d/y")
		tr, _, err := b.Freeze(".")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for n := range tr.All {
			got = append(got, tr.Path(n))
		}
		if want := "[d d/x d/z]"; fmt.Sprint(got) != want || b.count != tr.Len() {
			t.Errorf("%s: got %v of %d nodes, want %v", name, got, b.count, want)
		}
	}
}

// TestALargeBuilderCountsWhatItTakes: what is outside of Go's heap is no more than
// what was counted, and nothing is left of it in the end.
func TestALargeBuilderCountsWhatItTakes(t *testing.T) {
	b := NewBuilder()
	asked := 0
	b.Large = func() error { asked++; return nil }
	const files = 1 << 17
	m := b.AddMember(0, 0, files)
	for i := range files {
		chunk := Chunk{Size: 1, Member: m, Inner: int64(i)}
		err := errors.Join(b.Create(fmt.Sprintf("d%d/f%d", i/100, i), []Chunk{chunk}))
		if i%10 == 0 {
			err = errors.Join(err, b.Symlink(fmt.Sprintf("l%d", i), "d0/f0"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	taken := 0
	for _, mem := range append(b.outside.taken, b.index.outside.taken...) {
		taken += len(mem)
	}
	if taken == 0 || taken > b.used {
		t.Errorf("%d bytes are taken, and %d were counted", taken, b.used)
	}
	if asked != 1 {
		t.Errorf("it asked %d times whether it may be large", asked)
	}
	tr, _, err := b.Freeze(".")
	b.Close()
	if err != nil || tr.Len() != 1+files+files/100+1+files/10+1 || len(b.outside.taken) > 0 {
		t.Errorf("got %d nodes, %v, and %d pages are left", tr.Len(), err, len(b.outside.taken))
	}
	again, err := Load(tr.Bytes())
	if n, ok := again.Walk(Root, "d1310/f131050", true); err != nil || !ok || again.Size(n) != 1 {
		t.Errorf("a file of a large tree: got %d, %v, %v", n, ok, err)
	}
}

// TestABuilderHasALimit: whatever there is a lot of.
func TestABuilderHasALimit(t *testing.T) {
	long := strings.Repeat("n", 200)
	for name, add := range map[string]func(b *Builder, i int) error{
		"names":       func(b *Builder, i int) error { return b.Create(fmt.Sprint(i), nil) },
		"long names":  func(b *Builder, i int) error { return b.Create(fmt.Sprint(long, i), nil) },
		"folders":     func(b *Builder, i int) error { return b.Mkdir(fmt.Sprint(i%10, "/", i)) },
		"links":       func(b *Builder, _ int) error { return b.Symlink("l", strings.Repeat("x", MaxPath)) },
		"chunks":      func(b *Builder, i int) error { return b.AddChunk(Chunk{Size: 1, Offset: int64(i)}) },
		"replaced":    func(b *Builder, _ int) error { return b.Create("f", []Chunk{{Size: 1}}) },
		"members":     func(b *Builder, i int) error { b.AddMember(0, int64(i), 1); return b.Create("f", nil) },
		"and removed": func(b *Builder, i int) error { b.Clear("."); return b.Create(fmt.Sprint(i), nil) },
		"waiting":     func(b *Builder, i int) error { return b.Wait(Entry{Path: fmt.Sprint(long, i)}) },
		"elsewhere":   func(b *Builder, _ int) error { return b.Reserve(1000) },
	} {
		b := NewBuilder()
		b.Limit = 1 << 20
		b.AddMember(0, 0, 1<<30)
		for i := 0; ; i++ {
			err := add(b, i)
			if err == nil && i < 1<<20/memberCost {
				continue
			}
			if !errors.Is(err, ErrTooLarge) && (name != "members" || b.Reserve(0) == nil) {
				t.Errorf("%s: got %v after %d, want %v", name, err, i, ErrTooLarge)
			}
			break
		}
	}
}

// TestWhatWaitsIsOfferedUntilItIsDone: in its order, and what is over is given
// back.
func TestWhatWaitsIsOfferedUntilItIsDone(t *testing.T) {
	b := NewBuilder()
	const entries = 10_000
	for i := range entries {
		if err := b.Wait(Entry{Path: fmt.Sprint(i), Target: "to", Kind: Symlink, Pieces: Pieces{uint32(i), 1}}); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		next := round // of every third a round is done with
		err := b.Waiting(func(e Entry) (bool, error) {
			want := Entry{Path: fmt.Sprint(next), Target: "to", Kind: Symlink, Pieces: Pieces{uint32(next), 1}}
			if e != want {
				return false, fmt.Errorf("got %+v, want %+v", e, want)
			}
			done := next%3 == round
			for next++; next%3 < round; next++ {
			}
			return done, nil
		})
		if err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
	err := b.Waiting(func(e Entry) (bool, error) { return true, fmt.Errorf("%s still waits", e.Path) })
	if b.EndWaiting(); err != nil || b.used != 0 || len(b.queue.outside.taken) > 0 {
		t.Errorf("in the end: %v, %d bytes, %d pages", err, b.used, len(b.queue.outside.taken))
	}
	if b.Wait(Entry{Path: strings.Repeat("p", MaxPath+1)}) == nil || b.Wait(Entry{Target: strings.Repeat("p", MaxPath+1)}) == nil {
		t.Error("a path that nothing can have was taken")
	}
}

// TestLinksThatBecomeLongCount: a link to a deep folder is short, and long when it
// passes no other link.
func TestLinksThatBecomeLongCount(t *testing.T) {
	b := NewBuilder()
	b.Limit = 1 << 20
	deep := strings.TrimSuffix(strings.Repeat(strings.Repeat("n", 200)+"/", 15), "/")
	err := errors.Join(b.Create(deep+"/f", nil), b.Symlink("short", deep), b.Symlink("longer", "short/../"+strings.Repeat("n", 200)))
	for i := range 1000 {
		err = errors.Join(err, b.Symlink(fmt.Sprint("d/", i), "../short/f"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Freeze("."); !errors.Is(err, ErrTooLarge) {
		t.Errorf("links of three megabytes in one: got %v", err)
	}
}
