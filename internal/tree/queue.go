package tree

import "fmt"

// Entry is what a layer says of a path. Its kind may be one that no tree has; its
// pieces are those of a file.
type Entry struct {
	Path   string
	Kind   Kind
	Target string // of a link
	Pieces Pieces
}

// queue keeps entries that cannot be put into the tree yet.
type queue struct {
	outside outside
	list    pages[waiting]
	texts   texts
}

// waiting is an Entry in a queue.
type waiting struct {
	path, target             uint32 // where they are
	pathLength, targetLength uint16
	pieces                   Pieces
	kind                     Kind
	done                     bool
}

const waitingCost = 24 // bytes, beside the texts

// Wait keeps an entry until EndWaiting.
func (b *Builder) Wait(e Entry) error {
	if len(e.Path) > MaxPath || len(e.Target) > MaxPath {
		return fmt.Errorf("%.64q…: a path of %d bytes, or a target of %d, more than %d", e.Path, len(e.Path), len(e.Target), MaxPath)
	}
	q := &b.queue
	q.list.add(&q.outside, waiting{
		path: q.texts.add(&q.outside, e.Path), pathLength: uint16(len(e.Path)),
		target: q.texts.add(&q.outside, e.Target), targetLength: uint16(len(e.Target)),
		pieces: e.Pieces, kind: e.Kind,
	})
	return b.Reserve(waitingCost + len(e.Path) + len(e.Target))
}

// Waiting offers the entries that wait to try, in the order in which they came,
// until there is an error. Those that it is done with wait no more. An entry is
// good until try returns.
func (b *Builder) Waiting(try func(Entry) (done bool, err error)) error {
	q := &b.queue
	for i := range q.list.n {
		w := q.list.at(i)
		if w.done {
			continue
		}
		e := Entry{q.texts.get(w.path, int(w.pathLength)), w.kind, q.texts.get(w.target, int(w.targetLength)), w.pieces}
		var err error
		if w.done, err = try(e); err != nil {
			return err
		}
	}
	return nil
}

// EndWaiting forgets the entries that wait.
func (b *Builder) EndWaiting() {
	q := &b.queue
	for i := range q.list.n {
		w := q.list.at(i)
		b.used -= waitingCost + int(w.pathLength) + int(w.targetLength)
	}
	q.outside.giveBack()
	*q = queue{}
}
