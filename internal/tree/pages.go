package tree

import (
	"syscall"
	"unsafe"
)

// pageBits is how many bits of a number say where in its page a record is: a
// page has 4,096 of them.
const pageBits = 12

// pages is a list of records without pointers that grows without being moved. A
// slice that grows is there twice, and what it was is garbage that stays until
// the collector comes by: of the millions of records of a large version that
// would be most of the memory.
type pages[T any] struct {
	list [][]T
	n    uint32
}

// at is the record number i. The pointer is good until the next add.
func (p *pages[T]) at(i uint32) *T { return &p.list[i>>pageBits][i&(1<<pageBits-1)] }

// firstRecords is how many the first page has room for in the beginning; it
// doubles as it needs, since most versions are small.
const firstRecords = 64

// add puts a record at the end, and gives its number.
func (p *pages[T]) add(from *outside, v T) uint32 {
	page, i := int(p.n>>pageBits), int(p.n&(1<<pageBits-1))
	switch {
	case p.n == 0:
		p.list = [][]T{make([]T, firstRecords)}
	case page == len(p.list):
		p.list = append(p.list, room[T](from, 1<<pageBits))
	case i == len(p.list[page]):
		p.list[0] = append(p.list[0], make([]T, i)...)
	}
	p.list[page][i] = v
	p.n++
	return p.n - 1
}

// textPage is the length of a page of texts in bytes; the place of a text is the
// number of its page and, in the lower sixteen bits, where it begins there.
const textPage = 1 << 16

// texts keeps strings, of at most MaxPath bytes each.
type texts struct{ list [][]byte }

// add keeps a copy of s, and gives its place.
func (t *texts) add(from *outside, s string) uint32 {
	last := len(t.list) - 1
	if last < 0 || len(t.list[last])+len(s) > textPage {
		var page []byte
		if last++; last > 0 {
			page = room[byte](from, textPage)[:0]
		}
		t.list = append(t.list, page)
	}
	at := len(t.list[last])
	t.list[last] = append(t.list[last], s...)
	return uint32(last)*textPage + uint32(at)
}

// get is the text of n bytes at a place, in the memory where it is kept.
func (t *texts) get(at uint32, n int) string {
	page := t.list[at/textPage][at%textPage:]
	return unsafe.String(unsafe.SliceData(page), len(page[:n])) //nolint:gosec // nothing is written there again
}

// outside is memory that is not Go's. Whatever the collector counts it lets as
// much garbage pile up beside it before it runs, and reading an archive of a
// million names makes a lot: the tens of megabytes of a large version would be
// there twice. It goes back to the machine at once, too.
type outside struct{ taken [][]byte }

// room is zeroed memory for n records, which must not have pointers.
func room[T any](from *outside, n int) []T {
	var record T
	mem, err := syscall.Mmap(-1, 0, n*int(unsafe.Sizeof(record)), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]T, n)
	}
	from.taken = append(from.taken, mem)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mem))), n) //nolint:gosec // as long as mem, and aligned to a page
}

// giveBack gives back all of it.
func (o *outside) giveBack() {
	for _, mem := range o.taken {
		_ = syscall.Munmap(mem) // it is what Mmap gave
	}
	o.taken = nil
}
