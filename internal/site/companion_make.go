package site

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/regfs/regfs/internal/tree"
)

const (
	// maxWishes bounds the companions that wait to be made. What does not fit is
	// asked for again when its entry in the kernel has timed out.
	maxWishes = 4096
	// wishDelay is how long after it was asked for a companion is made at the
	// earliest: first the page is to be there.
	wishDelay = 200 * time.Millisecond
	// patience is how often it is looked whether readers still wait for bytes.
	patience = 20 * time.Millisecond
	// restAfterFull is how long nothing is made after one found no room in the
	// store, so that a full disk costs no processor.
	restAfterFull = 10 * time.Second
	// keepMadeEvery is how often the table of companions is written down.
	keepMadeEvery = 5 * time.Second
	// pauseShare bounds the processor that it takes: after each piece there is a
	// pause so many times as long as that took. (A thread of a low priority would
	// not do: the runtime stops all threads to collect garbage, and on a busy
	// machine everybody would wait for that one to get its turn.)
	pauseShare = 1
)

// companions makes gzip forms of files, one after another, of content that is
// in the store, with half of a processor at most, while nobody waits for a fetch.
type companions struct {
	content *contents
	made    *derivations
	wishes  chan wish

	mu     sync.Mutex
	wished map[wanted]bool // files that are in wishes, or being made

	counts struct{ made, useless atomic.Int64 }
}

// CompanionStats says how the making of companions is doing. Counts begin with
// the loader.
type CompanionStats struct {
	Made    int64 `json:"made"`
	Useless int64 `json:"useless"` // contents that would not get a tenth smaller
	Waiting int   `json:"waiting"` // to be made
}

func (m *companions) stats() CompanionStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return CompanionStats{m.counts.made.Load(), m.counts.useless.Load(), len(m.wished)}
}

// wish is a file that somebody wants the companion of.
type wish struct {
	id    tree.Digest // of its content
	site  *Site
	plain tree.Node
	at    time.Time
}

// wanted is a file as those see it who want its companion. What one repository
// does not give keeps nobody from what another one has.
type wanted struct {
	repo string
	id   tree.Digest
}

func (w wish) wanted() wanted { return wanted{w.site.repo, w.id} }

func newCompanions(c *contents) *companions {
	return &companions{content: c, made: newDerivations(c.store), wishes: make(chan wish, maxWishes), wished: map[wanted]bool{}}
}

// ask has a companion made, if there is room for the wish.
func (m *companions) ask(w wish) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wished[w.wanted()] {
		return
	}
	w.at = time.Now()
	select {
	case m.wishes <- w:
		m.wished[w.wanted()] = true
	default:
	}
}

func (m *companions) fulfilled(w wish) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.wished, w.wanted())
}

// run makes what is asked for until ctx ends.
func (m *companions) run(ctx context.Context) {
	defer m.made.save()
	tick := time.NewTicker(keepMadeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.made.save()
		case w := <-m.wishes:
			if m.rest(ctx, w) != nil {
				return
			}
			if err := m.make(ctx, w); err != nil {
				slog.Warn("companions are not kept", "event", "cache_full", "err", err)
				sleep(ctx, restAfterFull)
			}
			m.fulfilled(w)
		}
	}
}

// rest waits until it is time for a wish.
func (m *companions) rest(ctx context.Context, w wish) error {
	sleep(ctx, time.Until(w.at.Add(wishDelay)))
	return m.giveWay(ctx)
}

// giveWay waits until nobody waits for a fetch.
func (m *companions) giveWay(ctx context.Context) error {
	for m.content.fetches.waiting.Load() > 0 && ctx.Err() == nil {
		sleep(ctx, patience)
	}
	return ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// find is what became of the companion of a file, if that is known and can be used.
func (m *companions) find(w wish) (derived, bool) {
	d, known := m.made.get(w.id)
	return d, known && (d.size == 0 || pays(d.size, w.site.Tree.Size(w.plain)) && m.content.store.Has(d.digest, d.size))
}

// make makes a companion, if all of its file is here, and notes what became of
// it. Its error is that of keeping it.
func (m *companions) make(ctx context.Context, w wish) error {
	if _, known := m.find(w); known || !w.site.isHere(w.plain) {
		return nil // or not any more: whoever wants it will ask again
	}
	data, err := compress(func(to io.Writer) error { return w.site.pour(w.plain, to) }, mostOf(w.site.Tree.Size(w.plain)), m.pauses(ctx))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, context.Canceled):
		return nil // evicted this moment, or the process ends
	case errors.Is(err, errTooLong):
		m.made.add(w.id, derived{})
		m.counts.useless.Add(1)
		return nil
	case err != nil:
		slog.Error("a companion cannot be made", "event", "no_companion", "path", w.site.Tree.Path(w.plain), "err", err)
		return nil
	}
	sum := sha256.Sum256(data)
	if err := m.content.store.Put(sum, data); err != nil {
		return err
	}
	m.made.add(w.id, derived{sum, int64(len(data))})
	m.counts.made.Add(1)
	return nil
}

// isHere tells whether all bytes of file n are here.
func (s *Site) isHere(n tree.Node) bool {
	first, count := s.Tree.Chunks(n)
	for i := range uint32(count) {
		if c := s.Tree.Chunk(first + i); !s.shelf.Has(c.Digest, c.Size) {
			return false
		}
	}
	return true
}

// pieceSize is how many bytes are compressed between two pauses: some
// milliseconds.
const pieceSize = 128 << 10

var pieces = sync.Pool{New: func() any { b := make([]byte, pieceSize); return &b }}

// pour writes the content of file n to w, of what is here alone.
func (s *Site) pour(n tree.Node, w io.Writer) error {
	b := pieces.Get().(*[]byte)
	defer pieces.Put(b)
	buf := *b
	first, count := s.Tree.Chunks(n)
	for i := range uint32(count) {
		c := s.Tree.Chunk(first + i)
		for off := int64(0); off < c.Size; off += int64(len(buf)) {
			p := buf[:min(int64(len(buf)), c.Size-off)]
			if n, err := s.shelf.ReadAt(c.Digest, c.Size, p, off); n < len(p) {
				return err
			}
			if _, err := w.Write(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// errTooLong ends the making of a companion that would save too little.
var errTooLong = errors.New("the gzip form is too long")

// pause is what is done after a piece was compressed, which took so long. Its
// error ends the rest.
type pause func(took time.Duration) error

// atOnce is for when somebody waits.
func atOnce(time.Duration) error { return nil }

func (m *companions) pauses(ctx context.Context) pause {
	return func(took time.Duration) error {
		sleep(ctx, took*pauseShare)
		return m.giveWay(ctx)
	}
}

// deflaters are writers to be used again: each has a megabyte of tables. The
// best level takes half as long again as the next, once for each content, and
// every visitor has half a percent less to wait for. The header has neither
// name nor time: the same content gives the same bytes.
var deflaters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestCompression)
	if err != nil {
		panic(err) // there is such a level
	}
	return w
}}

// compress gives what fill writes in its gzip form, seen to be that by inflating
// it, or errTooLong if that has more than limit bytes. Errors of fill are given as
// they are.
func compress(fill func(io.Writer) error, limit int64, p pause) ([]byte, error) {
	out := &limited{limit: limit}
	z := deflaters.Get().(*gzip.Writer)
	z.Reset(out)
	z.ModTime = time.Unix(0, 0) // which stands for none; klauspost's own zero is another time
	defer func() {
		z.Reset(io.Discard) // so that it does not hold on to out
		deflaters.Put(z)
	}()
	plain := sha256.New()
	if err := fill(&paused{io.MultiWriter(z, plain), p}); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.data, inflatesTo(out.data, plain)
}

// paused pauses after each piece that is written.
type paused struct {
	w     io.Writer
	pause pause
}

func (w *paused) Write(b []byte) (int, error) {
	begin := time.Now()
	n, err := w.w.Write(b)
	if err != nil {
		return n, err
	}
	return n, w.pause(time.Since(begin))
}

func inflatesTo(data []byte, want hash.Hash) error {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	got := sha256.New()
	if _, err := io.Copy(got, r); err != nil { //nolint:gosec // it was not longer when it was compressed
		return err
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		return fmt.Errorf("compressed and inflated, it is something else")
	}
	return nil
}

// limited takes bytes up to a limit.
type limited struct {
	data  []byte
	limit int64
}

func (l *limited) Write(p []byte) (int, error) {
	if int64(len(l.data)+len(p)) > l.limit {
		return 0, errTooLong
	}
	l.data = append(l.data, p...)
	return len(p), nil
}
