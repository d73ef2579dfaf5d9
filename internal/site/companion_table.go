package site

import (
	"encoding/binary"
	"log/slog"
	"sync"

	"github.com/regfs/regfs/internal/cache"
	"github.com/regfs/regfs/internal/tree"
)

// maxDerivations bounds the table of companions: 16 MB of memory at most, 9 MB
// on disk. Those that nobody asked for lately are forgotten, and made again.
const maxDerivations = 1 << 17

// derivationsName is the document in which the table is kept. The number stands
// for how companions are made: with another compressor their bytes are others,
// while the kernel may know one by its size, so it then needs another number. So
// it does when contents are named in another way.
const derivationsName = "derived/gzip-2"

// A record of the document: the content's ID, the companion's digest, and its
// size, little endian, which is 0 for a content of which none is worth having.
const derivationSize = 32 + 32 + 4

// derived is what became of a content: its companion, or nothing.
type derived struct {
	digest tree.Digest
	size   int64 // bytes; 0 when it would save too little
}

// derivations is a table from contents to companions. It forgets in
// generations: what was asked for since the current one began is in it.
type derivations struct {
	store *cache.Store
	load  sync.Once

	mu         sync.Mutex
	young, old map[tree.Digest]derived
	changed    bool // since it was written down
}

func newDerivations(store *cache.Store) *derivations {
	return &derivations{store: store, young: map[tree.Digest]derived{}, old: map[tree.Digest]derived{}}
}

// get is what is known of a content.
func (t *derivations) get(id tree.Digest) (derived, bool) {
	t.load.Do(t.restore)
	t.mu.Lock()
	defer t.mu.Unlock()
	d, ok := t.young[id]
	if !ok {
		if d, ok = t.old[id]; ok {
			t.put(id, d)
		}
	}
	return d, ok
}

// add notes what became of a content.
func (t *derivations) add(id tree.Digest, d derived) {
	t.load.Do(t.restore)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(id, d)
	t.changed = true
}

// put is add with mu held.
func (t *derivations) put(id tree.Digest, d derived) {
	if len(t.young) >= maxDerivations/2 {
		t.young, t.old = map[tree.Digest]derived{}, t.young
	}
	t.young[id] = d
}

// restore takes over what was kept, as far as there is room: the last came last.
// A document that is damaged is as none.
func (t *derivations) restore() {
	data, err := t.store.LoadDocument(derivationsName)
	if err != nil || len(data)%derivationSize != 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for end := len(data); end > 0 && len(t.old) < maxDerivations/2; end -= derivationSize {
		r := data[end-derivationSize : end]
		id := tree.Digest(r[:32])
		_, young := t.young[id] // it may have been made again since
		if _, old := t.old[id]; !young && !old {
			t.old[id] = derived{tree.Digest(r[32:64]), int64(binary.LittleEndian.Uint32(r[64:]))}
		}
	}
}

// save writes the table down if it has changed, with what other processes have
// written there meanwhile.
func (t *derivations) save() {
	t.mu.Lock()
	changed := t.changed
	t.changed = false
	t.mu.Unlock()
	if !changed {
		return
	}
	t.restore()
	if err := t.store.SaveDocument(derivationsName, t.bytes()); err != nil {
		slog.Warn("what is known of companions is not kept", "event", "cache_full", "err", err)
	}
}

// bytes is the table as a document, what is forgotten first coming first.
func (t *derivations) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	data := make([]byte, 0, derivationSize*(len(t.old)+len(t.young)))
	for id, d := range t.old {
		if _, newer := t.young[id]; !newer {
			data = appendDerivation(data, id, d)
		}
	}
	for id, d := range t.young {
		data = appendDerivation(data, id, d)
	}
	return data
}

func appendDerivation(b []byte, id tree.Digest, d derived) []byte {
	b = append(b, id[:]...)
	b = append(b, d.digest[:]...)
	return binary.LittleEndian.AppendUint32(b, uint32(d.size))
}
