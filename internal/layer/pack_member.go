package layer

import (
	"bytes"
	"context"

	"github.com/klauspost/compress/gzip"
)

// packMember is a part of the tar stream that becomes one gzip member.
type packMember struct {
	plain      []byte
	compressed bytes.Buffer
	entries    []tocEntry    // that belong in the table once the member's offset is known
	contents   []packContent // of those entries, in plain
	done       chan struct{} // receives when compressed and the digests are there
}

// packContent is where the content of a file, or a chunk of it, lies.
type packContent struct {
	entry      int // index in packMember.entries
	start, end int // in packMember.plain
}

func (m *packMember) reset() {
	m.plain = m.plain[:0]
	m.compressed.Reset()
	m.entries = m.entries[:0]
	m.contents = m.contents[:0]
}

// finish fills compressed and the chunks' digests.
func (m *packMember) finish(z *gzip.Writer, known Members) error {
	m.digestContents()
	if known == nil {
		return m.compress(z)
	}
	key := m.key()
	if known.Recall(key, &m.compressed) {
		return nil
	}
	if err := m.compress(z); err != nil {
		return err
	}
	known.Remember(key, m.compressed.Bytes())
	return nil
}

func (m *packMember) compress(z *gzip.Writer) error {
	z.Reset(&m.compressed)
	if _, err := z.Write(m.plain); err != nil {
		return err
	}
	return z.Close()
}

// packLine moves members from the cutter through the compressors to the joiner
// and back. The members are a fixed number, and so is the memory; each channel
// holds all of them, so that only waiting for a free one ever blocks.
type packLine struct {
	free    chan *packMember
	work    chan *packMember
	ordered chan *packMember // the same as work, for the joiner
}

func newPackLine(members int) *packLine {
	l := &packLine{
		free:    make(chan *packMember, members),
		work:    make(chan *packMember, members),
		ordered: make(chan *packMember, members),
	}
	for range members {
		l.free <- &packMember{done: make(chan struct{}, 1)}
	}
	return l
}

// next waits for a free member.
func (l *packLine) next(ctx context.Context) (*packMember, error) {
	// select takes either way when both are open; an end that has come counts.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case m := <-l.free:
		m.reset()
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// put hands a member on that is full.
func (l *packLine) put(m *packMember) {
	l.work <- m
	l.ordered <- m
}

// end says that no member follows.
func (l *packLine) end() {
	close(l.work)
	close(l.ordered)
}

// compress finishes members until there are none.
func (l *packLine) compress(known Members) error {
	z, err := gzip.NewWriterLevel(nil, packLevel)
	if err != nil {
		return err
	}
	for m := range l.work {
		if err := m.finish(z, known); err != nil {
			return err
		}
		m.done <- struct{}{}
	}
	return nil
}

// join gives the members to j in the order in which they were put.
func (l *packLine) join(ctx context.Context, j *packJoiner) error {
	for m := range l.ordered {
		select {
		case <-m.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := j.add(m); err != nil {
			return err
		}
		l.free <- m
	}
	return nil
}
