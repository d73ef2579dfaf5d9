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
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

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
	// lowest is the priority, as of nice(1), of the thread that compresses.
	lowest = 19
)

// companions makes gzip forms of files, one after another, of content that is
// in the store, while nobody waits for a fetch.
type companions struct {
	content *contents
	made    *derivations
	wishes  chan wish

	mu     sync.Mutex
	wished map[tree.Digest]bool // contents that are in wishes, or being made
}

// wish is a file that somebody wants the companion of.
type wish struct {
	id    tree.Digest // of its content
	site  *Site
	plain tree.Node
	at    time.Time
}

func newCompanions(c *contents) *companions {
	return &companions{content: c, made: newDerivations(c.store), wishes: make(chan wish, maxWishes), wished: map[tree.Digest]bool{}}
}

// ask has a companion made, if there is room for the wish.
func (m *companions) ask(w wish) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wished[w.id] {
		return
	}
	w.at = time.Now()
	select {
	case m.wishes <- w:
		m.wished[w.id] = true
	default:
	}
}

func (m *companions) fulfilled(w wish) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.wished, w.id)
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
			if err := m.make(w); err != nil {
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

// make makes a companion, if all of its file is here, and notes what became of
// it. Its error is that of keeping it.
func (m *companions) make(w wish) error {
	if !w.site.isHere(w.plain) {
		return nil // or not any more: whoever wants it will ask again
	}
	data, err := compress(func(to io.Writer) error { return w.site.pour(w.plain, to) }, mostOf(w.site.Tree.Size(w.plain)), gently)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // evicted this moment
	case errors.Is(err, errTooLong):
		m.made.add(w.id, derived{})
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
	return nil
}

// isHere tells whether all bytes of file n are in the store.
func (s *Site) isHere(n tree.Node) bool {
	first, count := s.Tree.Chunks(n)
	for i := range uint32(count) {
		if c := s.Tree.Chunk(first + i); !s.content.store.Has(c.Digest, c.Size) {
			return false
		}
	}
	return true
}

// pour writes the content of file n to w, of what is in the store alone.
func (s *Site) pour(n tree.Node, w io.Writer) error {
	buf := make([]byte, 128<<10)
	first, count := s.Tree.Chunks(n)
	for i := range uint32(count) {
		c := s.Tree.Chunk(first + i)
		for off := int64(0); off < c.Size; off += int64(len(buf)) {
			p := buf[:min(int64(len(buf)), c.Size-off)]
			if n, err := s.content.store.ReadAt(c.Digest, c.Size, p, off); n < len(p) {
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

// urgency is how a thread is asked to compress.
type urgency func()

// atOnce is for when somebody waits.
func atOnce() {}

// gently makes the thread of the calling goroutine, which ends with it, yield to
// all others. Only what holds no lock may run on it.
func gently() {
	runtime.LockOSThread() // and never unlocked, so that nobody else gets the thread
	// On Linux a priority is a thread's. Source: setpriority(2).
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, lowest) // else it is as urgent as others
}

// compress gives what fill writes in its gzip form, or errTooLong if that has
// more than limit bytes. Errors of fill are given as they are. It compresses on
// a thread of its own; what fill reads, it reads on the caller's.
func compress(fill func(io.Writer) error, limit int64, how urgency) (data []byte, err error) {
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		how()
		data, err = deflate(r, limit)
		r.CloseWithError(err)
	}()
	w.CloseWithError(fill(w)) // nil is the end
	<-done
	return data, err
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

// deflate is the gzip form of what r reads, seen to be that by inflating it.
func deflate(r io.Reader, limit int64) ([]byte, error) {
	out := &limited{limit: limit}
	z := deflaters.Get().(*gzip.Writer)
	z.Reset(out)
	z.ModTime = time.Unix(0, 0) // which stands for none; klauspost's own zero is another time
	defer func() {
		z.Reset(io.Discard) // so that it does not hold on to out
		deflaters.Put(z)
	}()
	plain := sha256.New()
	if _, err := io.Copy(io.MultiWriter(z, plain), r); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.data, inflatesTo(out.data, plain)
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
