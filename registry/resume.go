package registry

import (
	"context"
	"errors"
	"io"
	"slices"
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
	from   []*host // that any byte came from
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
	if !slices.Contains(r.from, p.from) {
		r.from = append(r.from, p.from)
	}
}

// reject takes the mirrors that bytes came from for liars. It reports whether
// there is one.
func (r *resumed) reject() bool {
	found := false
	for _, h := range r.from {
		if h != r.client.host {
			h.failing.until(h.now().Add(h.limits.lied))
			found = true
		}
	}
	return found
}

// Close ends the request.
func (r *resumed) Close() error { return r.part.Close() }

// ended is a body that could not be had.
type ended struct{ err error }

func (e ended) Read([]byte) (int, error) { return 0, e.err }
func (e ended) Close() error             { return nil }
