package layer

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"
)

// rememberedMembers remembers in memory.
type rememberedMembers struct {
	mu       sync.Mutex
	members  map[MemberKey][]byte
	recalled int
}

func (r *rememberedMembers) Recall(key MemberKey, b *bytes.Buffer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.members[key]
	b.Write(m)
	if ok {
		r.recalled++
	}
	return ok
}

func (r *rememberedMembers) Remember(key MemberKey, member []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[key] = bytes.Clone(member)
}

func TestRememberedMembersMakeTheSameLayer(t *testing.T) {
	src := mixedPackTree()
	want, _ := mixedPackBytes(t)
	known := &rememberedMembers{members: map[MemberKey][]byte{}}
	for range 2 {
		var b bytes.Buffer
		if _, err := Pack(context.Background(), &b, src, known); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Error("got another layer, want the same")
		}
	}
	if got, want := known.recalled, len(known.members); got < want {
		t.Errorf("got %d members recalled, want all %d", got, want)
	}
}

// Whatever differs in a member, a byte of a header or of a content or the place
// where one ends, it has another key.
func TestMemberKeyDependsOnAllBytes(t *testing.T) {
	key := func(plain string, contents ...packContent) MemberKey {
		m := &packMember{plain: []byte(plain), contents: contents, entries: make([]tocEntry, len(contents))}
		m.digestContents()
		return m.key()
	}
	seen := map[MemberKey]int{}
	for i, k := range []MemberKey{
		key(""), key("a"), key("ab"),
		key("header content padding", packContent{0, 7, 14}),
		key("headex content padding", packContent{0, 7, 14}),
		key("header contenx padding", packContent{0, 7, 14}),
		key("header content paddinx", packContent{0, 7, 14}),
		key("header content padding"),
		key("header content padding", packContent{0, 6, 14}),
		key("header content padding", packContent{0, 7, 14}, packContent{1, 15, 22}),
	} {
		if j, ok := seen[k]; ok {
			t.Errorf("got the same key for members %d and %d", i, j)
		}
		seen[k] = i
	}
}

// Another version of the compressor may compress otherwise.
func TestCompressorIsTheOneOfGoMod(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := strings.Cut(packCompressor, " gzip ")
	if !strings.Contains(string(mod), want+"\n") {
		t.Errorf("got %q in packCompressor, want the version in go.mod", want)
	}
}
