package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// resumeProgress is how many bytes have to come before a body that is cut again
// counts as one that was not: a long download over a bad line ends well, a
// server that cuts every answer at once does not go on for ever.
const resumeProgress = 1 << 20

// resumed reads the bytes at..end of a blob through as many answers as it
// takes. What came before a cut is not asked for again: it is verified with
// the rest.
type resumed struct {
	ctx    context.Context
	client *Client
	blob   blob
	part   *part // the answer that is read
	at     int64 // offset of the next byte in the blob
	end    int64
	tries  int // since progress was made
	got    int64

	mu   sync.Mutex // guards from: a body may be rejected while it is read
	from []*host    // that any byte came from
}

func (r *resumed) Read(p []byte) (int, error) {
	for {
		if r.at >= r.end && r.part.offset+r.part.length > r.end {
			return 0, io.EOF // what a whole blob has behind the part is nobody's concern
		}
		n, err := r.part.Read(p)
		r.at += int64(n)
		if r.got += int64(n); r.got >= resumeProgress {
			r.tries, r.got = 0, 0
		}
		if err == nil || r.at >= r.end || !r.again(err) {
			return n, err
		}
		if err := r.next(err); err != nil || n > 0 {
			return n, err
		}
	}
}

// again reports whether a body that ended with err is continued. One that
// stalls is not: who waits for it has waited long enough.
func (r *resumed) again(err error) bool {
	var f *failure
	cut := errors.Is(err, io.EOF) || errors.As(err, &f) && f.temporary
	return cut && r.tries+1 < tries && r.ctx.Err() == nil
}

// next asks for what is missing. Its error is why not, or else the first one.
func (r *resumed) next(err error) error {
	r.tries++
	r.part.Close()
	if from := r.part.from; from != r.client.host {
		from.blame(fmt.Errorf("%s: cut: %w", r.blob.what(r.at, r.end-r.at), err))
	}
	p, openErr := r.client.open(r.ctx, r.blob, r.at, r.end-r.at)
	if openErr != nil {
		r.part = &part{ReadCloser: ended{openErr}}
		return openErr
	}
	r.part = p
	r.use(p)
	if skip := r.at - p.offset; skip > 0 { // the host does not do ranges and began anew
		if _, skipErr := io.CopyN(io.Discard, p, skip); skipErr != nil {
			return err
		}
	}
	return nil
}

// use notes where bytes come from.
func (r *resumed) use(p *part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.from, p.from) {
		r.from = append(r.from, p.from)
	}
}

// mirrors are those that bytes came from.
func (r *resumed) mirrors() []*host {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.from), func(h *host) bool { return h == r.client.host })
}

// reject takes the mirrors that bytes came from for liars.
func (r *resumed) reject() {
	for _, m := range r.mirrors() {
		m.fail(r.blob.what(0, r.blob.size)+": what came is not the content", m.limits.lied)
		slog.Warn("a mirror sent what is not the content, others are asked", "event", "mirror_lied", "mirror", m.name, "for", m.limits.lied, "digest", r.blob.digest)
	}
}

// Close ends the request.
func (r *resumed) Close() error { return r.part.Close() }

// ended is a body that could not be had.
type ended struct{ err error }

func (e ended) Read([]byte) (int, error) { return 0, e.err }
func (e ended) Close() error             { return nil }
