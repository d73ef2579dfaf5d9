package cache

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// kinds are the sizes of a content in a segment, and of one that is a file.
var kinds = map[string]int{"small": 1000, "large": 2 << 20}

func shelve(t testing.TB, h Shelf, seed uint64, size int) ([]byte, Key) {
	t.Helper()
	data, k := bytesOf(seed, size)
	if err := h.PutVerified(k, data); err != nil {
		t.Fatalf("put on a shelf: %v", err)
	}
	return data, k
}

// wantOn checks that a content can be read from a shelf, or not at all.
func wantOn(t *testing.T, h Shelf, k Key, data []byte, want bool) {
	t.Helper()
	size := int64(len(data))
	part := make([]byte, 100)
	n, err := h.ReadAt(k, size, part, size/2)
	whole, errWhole := h.Bytes(k, size)
	d, piece := h.Descriptor(k, size)
	if piece {
		d.Release()
	}
	if !want {
		if h.Has(k, size) || h.Kept(k, size) || n != 0 || whole != nil || piece || !errors.Is(err, fs.ErrNotExist) || !errors.Is(errWhole, fs.ErrNotExist) {
			t.Errorf("%d bytes not on the shelf: has %v, kept %v, read %d, %v, %v, descriptor %v", size, h.Has(k, size), h.Kept(k, size), n, err, errWhole, piece)
		}
		return
	}
	if !h.Has(k, size) || !bytes.Equal(part[:n], data[size/2:][:n]) || n == 0 || !bytes.Equal(whole, data) || piece != (size > verifyWhole) {
		t.Errorf("%d bytes on the shelf: has %v, read %d, %v, whole %d, %v, descriptor %v", size, h.Has(k, size), n, err, len(whole), errWhole, piece)
	}
}

// TestAContentIsReadFromTheShelvesItWasPutOn: one owner has it, another knows its
// digest, asks for it in every way, harms nothing by that, and puts it.
func TestAContentIsReadFromTheShelvesItWasPutOn(t *testing.T) {
	for name, size := range kinds {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openQuiet(t, dir, plenty)
			a, b := s.Shelf("a"), s.Shelf("b")
			data, k := shelve(t, a, 1, size)
			wantOn(t, a, k, data, true)
			wantOn(t, b, k, data, false)
			for _, wrong := range []int64{1, int64(size) - 1, int64(size) + 1, 5 << 20} { // a size that is a lie
				if _, err := b.ReadAt(k, wrong, make([]byte, 10), 0); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("as %d bytes: got %v", wrong, err)
				}
			}
			wantOn(t, a, k, data, true)
			before := s.Stats()
			shelve(t, b, 1, size)
			wantOn(t, b, k, data, true)
			after := s.Stats()
			if after.Files != 1 || after.Bytes-before.Bytes != recordHeader || onDiskNow(s.dir) != after.Bytes || after.Damaged != 0 {
				t.Errorf("on two shelves: got %+v, before %+v; want the content once and %d bytes", after, before, recordHeader)
			}
			shelve(t, a, 1, size)
			shelve(t, b, 1, size)
			if got := s.Stats(); got.Bytes != after.Bytes {
				t.Errorf("put again: got %d bytes, want the %d of before", got.Bytes, after.Bytes)
			}
		})
	}
}

// TestNoContentPassesForAMark: whoever knows how the keys of marks are made can
// make a content of the same words.
func TestNoContentPassesForAMark(t *testing.T) {
	s := openQuiet(t, t.TempDir(), plenty)
	data, k := shelve(t, s.Shelf("a"), 1, 1000)
	thief := s.Shelf("thief")
	forged := slices.Concat(thief.owner[:], k[:])
	if err := thief.PutVerified(sha256.Sum256(forged), forged); err != nil {
		t.Fatal(err)
	}
	wantOn(t, thief, k, data, false)
	if s.Shelf("a").Mark(k) == thief.Mark(k) || thief.Mark(k) == thief.Mark(thief.Mark(k)) {
		t.Error("two marks are one")
	}
}

// TestMarksOutliveTheProcess also after a crash, which leaves no index of the
// segment, and perhaps half a mark.
func TestMarksOutliveTheProcess(t *testing.T) {
	for name, size := range kinds {
		for _, lost := range []int{0, 1, recordHeader - 1, recordHeader} { // of what was written last
			dir := t.TempDir()
			s, err := open(dir, plenty)
			if err != nil {
				t.Fatal(err)
			}
			data, k := shelve(t, s.Shelf("a"), 1, size)
			shelve(t, s.Shelf("b"), 1, size)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if lost > 0 {
				names, n := segmentFiles(t, dir)
				if err := errors.Join(os.Remove(strings.TrimSuffix(names[0], segmentSuffix)+indexSuffix), os.Truncate(names[0], n-int64(lost))); err != nil {
					t.Fatal(err)
				}
			}
			s = openQuiet(t, dir, plenty)
			s.log = slog.New(slog.DiscardHandler)
			if got := s.segments.count() + int64(size/(1<<20))/2; got != 1 {
				t.Errorf("%s: %d contents, want 1", name, got)
			}
			wantOn(t, s.Shelf("a"), k, data, true)
			wantOn(t, s.Shelf("b"), k, data, lost == 0)
			shelve(t, s.Shelf("b"), 1, size)
			wantOn(t, s.Shelf("b"), k, data, true)
		}
	}
}

// TestAFlippedByteMakesNoMark: whatever byte of a segment is another, nobody has
// what he had not, and nothing wrong is read.
func TestAFlippedByteMakesNoMark(t *testing.T) {
	const size = 60
	dir := t.TempDir()
	s, err := open(dir, plenty)
	if err != nil {
		t.Fatal(err)
	}
	data, k := shelve(t, s.Shelf("a"), 1, size)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := segmentFiles(t, dir)
	good, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		_ = os.Remove(strings.TrimSuffix(names[0], segmentSuffix) + indexSuffix)
		harm(t, names[0], flip(good, i))
		s, err := open(dir, plenty)
		if err != nil {
			t.Fatal(err)
		}
		s.log = slog.New(slog.DiscardHandler)
		wantOn(t, s.Shelf("b"), k, data, false)
		if got, err := s.Shelf("a").Bytes(k, size); err == nil && !bytes.Equal(got, data) {
			t.Errorf("byte %d: other bytes", i)
		}
		shelve(t, s.Shelf("a"), 1, size)
		wantOn(t, s.Shelf("a"), k, data, true)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestADamagedContentKeepsItsMarks: it is put again by one owner, and the other
// has it too.
func TestADamagedContentKeepsItsMarks(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	a, b := s.Shelf("a"), s.Shelf("b")
	data, k := shelve(t, a, 1, 2<<20)
	shelve(t, b, 1, 2<<20)
	harm(t, where(dir, k), flip(data, 1<<20))
	if _, err := a.Bytes(k, 2<<20); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("damaged: got %v", err)
	}
	if !a.Marked(k) || a.Has(k, 2<<20) {
		t.Errorf("marked %v, there %v; want the mark alone", a.Marked(k), a.Has(k, 2<<20))
	}
	shelve(t, b, 1, 2<<20)
	wantOn(t, a, k, data, true)
}

// TestMarksStayWithWhatTheyMark: the segment in which they lie is the oldest and
// goes, while the large contents stay, some because they were read since.
func TestMarksStayWithWhatTheyMark(t *testing.T) {
	const n, size = 20, 256 << 10
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	s.segments.max = 20_000
	start := time.Now().Add(-10 * time.Hour)
	at := func(hours float64) {
		s.now = func() time.Time { return start.Add(time.Duration(hours * float64(time.Hour))) }
	}
	h := s.Shelf("a")
	for i := range n {
		at(float64(i) / 10)
		_, k := shelve(t, h, uint64(i), size)
		if err := os.Chtimes(where(dir, k), s.now(), s.now()); err != nil {
			t.Fatal(err)
		}
		put(t, s, uint64(1000+i), 1000) // so that marks fill no quarter of a segment
	}
	for i := range 20 {
		put(t, s, uint64(2000+i), 1000) // the marks' segments are not the last
	}
	at(5)
	for _, i := range []int{0, 1} { // the oldest
		data, k := bytesOf(uint64(i), size)
		wantOn(t, h, k, data, true)
	}
	at(9)
	s.limit = 10 * size
	s.trim(t.Context())
	files, st := 0, s.Stats()
	for i := range n {
		data, k := bytesOf(uint64(i), size)
		if s.Has(k, size) {
			files++
			wantOn(t, h, k, data, true)
		}
		if want := i < 2 || i == n-1; want && !s.Has(k, size) {
			t.Errorf("content %d is gone", i)
		}
	}
	if files < 5 || files == n || st.Bytes > low(s.limit) || s.segments.marks == n {
		t.Errorf("%d contents of %d and %d marks are there, %+v", files, n, s.segments.marks, st)
	}
}

// TestMarksOfLongAgoGo: a store in which contents come and go does not fill with
// the marks of what is gone.
func TestMarksOfLongAgoGo(t *testing.T) {
	const limit, size = 2 << 20, 200
	s := openQuiet(t, t.TempDir(), limit)
	now := time.Now().Add(-time.Hour)
	s.now = func() time.Time { return now }
	h := s.Shelf("a")
	for i := range 5 * limit / size {
		now = now.Add(30 * time.Millisecond)
		data, k := bytesOf(uint64(i), size)
		if err := h.PutVerified(k, data); err != nil {
			s.trim(t.Context())
		}
		if i%100 == 0 {
			s.trim(t.Context())
		}
	}
	contents, marks := s.segments.count(), s.segments.marks
	if marks < contents || marks > 2*contents {
		t.Errorf("%d contents, %d marks", contents, marks)
	}
	if got := s.Stats(); got.Bytes > limit || got.Bytes < limit/2 {
		t.Errorf("got %+v", got)
	}
}

func TestPinnedMarksStay(t *testing.T) {
	const limit, size = 4 << 20, 8 << 10
	s := openQuiet(t, t.TempDir(), limit)
	now := time.Now()
	s.now = func() time.Time { now = now.Add(10 * time.Millisecond); return now }
	h := s.Shelf("a")
	var keys []Key
	for i := range 20 {
		_, k := shelve(t, h, uint64(i), size)
		keys = append(keys, k, h.Mark(k))
		for j := range 9 {
			shelve(t, s.Shelf("b"), uint64(1000+10*i+j), size)
		}
	}
	s.Pin("site", slices.Values(keys))
	for i := range 10 * limit / size {
		data, k := bytesOf(uint64(10_000+i), size)
		_ = s.Shelf("b").PutVerified(k, data)
		if i%50 == 0 {
			s.trim(t.Context())
		}
	}
	for i := range 20 {
		data, k := bytesOf(uint64(i), size)
		wantOn(t, h, k, data, true)
	}
}

// TestMarksThatFindNoRoomAreHeld on a disk that is full, be the content on it or
// not.
func TestMarksThatFindNoRoomAreHeld(t *testing.T) {
	for name, size := range kinds {
		t.Run(name, func(t *testing.T) {
			s := openQuiet(t, t.TempDir(), plenty)
			now := time.Now()
			s.now = func() time.Time { return now }
			data, k := shelve(t, s.Shelf("a"), 1, size)
			full(t, s)
			b := s.Shelf("b")
			fresh, kf := bytesOf(2, size)
			for _, err := range []error{b.PutVerified(k, data), b.PutVerified(kf, fresh)} {
				if !errors.Is(err, ErrFull) {
					t.Fatalf("got %v, want %v", err, ErrFull)
				}
			}
			if _, held := s.held.get(k, now); held {
				t.Error("what is on the disk is held in memory")
			}
			for _, k := range []Key{k, kf} {
				if !b.Has(k, int64(size)) || b.Kept(k, int64(size)) {
					t.Errorf("has %v, kept %v; want only the first", b.Has(k, int64(size)), b.Kept(k, int64(size)))
				}
			}
			wantHeld := func(want bool) {
				t.Helper()
				for k, data := range map[Key][]byte{k: data, kf: fresh} {
					got, err := b.Bytes(k, int64(size))
					if (err == nil) != want || want && !bytes.Equal(got, data) {
						t.Errorf("got %d bytes, %v", len(got), err)
					}
				}
			}
			wantHeld(true)
			now = now.Add(heldFor - 1)
			wantHeld(true) // which is a use
			now = now.Add(heldFor - 1)
			wantHeld(true)
			now = now.Add(heldFor + 1)
			wantHeld(false)
			wantOn(t, s.Shelf("a"), k, data, true)
		})
	}
}

func TestMarksThatAreHeldAreBounded(t *testing.T) {
	s := openQuiet(t, t.TempDir(), plenty)
	full(t, s)
	for i := range 3 * heldBytes / heldEach {
		s.held.add(Key{byte(i), byte(i >> 8), byte(i >> 16)}, nil, s.now())
	}
	if n := len(s.held.keys); n > heldBytes/heldEach {
		t.Errorf("%d are held, want at most %d", n, heldBytes/heldEach)
	}
}

// TestShelvesOfTwoStores: what one process was given another has with its next
// walk.
func TestShelvesOfTwoStores(t *testing.T) {
	for name, size := range kinds {
		dir := t.TempDir()
		one, other := openQuiet(t, dir, plenty), openQuiet(t, dir, plenty)
		data, k := shelve(t, one.Shelf("a"), 1, size)
		wantOn(t, other.Shelf("a"), k, data, false)
		other.trim(t.Context())
		wantOn(t, other.Shelf("a"), k, data, true)
		wantOn(t, other.Shelf("b"), k, data, false)
		if got := other.Stats().Files; got != 1 {
			t.Errorf("%s: %d contents, want 1", name, got)
		}
	}
}

// TestABatchIsPutOnItsShelf together with the marks, by one write, and held where
// there is no room.
func TestABatchIsPutOnItsShelf(t *testing.T) {
	const n = 60
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	a, b := s.Shelf("a"), s.Shelf("b")
	batch := func(h Shelf, size func(i int) int) {
		t.Helper()
		b := h.Batch()
		for i := range n {
			data, k := bytesOf(uint64(i), size(i))
			if err := b.PutVerified(k, data); err != nil {
				t.Errorf("content %d: %v", i, err)
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	wantAll := func(h Shelf, size func(i int) int, want bool) {
		t.Helper()
		for i := range n {
			data, k := bytesOf(uint64(i), size(i))
			if size(i) > 0 {
				wantOn(t, h, k, data, want)
			}
		}
	}
	small := func(int) int { return 1500 }
	put(t, s, 1<<20, 1) // makes the segment
	before := writes(t)
	batch(a, small)
	// Go's runtime wakes itself by a write now and then.
	if got := writes(t) - before; got < 1 || got > 20 {
		t.Errorf("got %d writes for %d contents and their marks, want 1", got, n)
	}
	wantAll(a, small, true)
	wantAll(b, small, false)
	batch(a, anySize)
	batch(b, anySize)
	wantAll(a, anySize, true)
	wantAll(b, anySize, true)
	other := openQuiet(t, dir, plenty)
	wantAll(other.Shelf("b"), anySize, true)
	wantAll(other.Shelf("b"), small, false)

	full(t, s)
	batch(b, small)
	for i := range n {
		if _, k := bytesOf(uint64(i), 1500); !b.Has(k, 1500) || b.Kept(k, 1500) {
			t.Errorf("content %d, without room: has %v, kept %v; want only the first", i, b.Has(k, 1500), b.Kept(k, 1500))
		}
	}
}

func TestAShelfOfAClosedStore(t *testing.T) {
	s, err := open(t.TempDir(), plenty)
	if err != nil {
		t.Fatal(err)
	}
	h := s.Shelf("a")
	_, k := shelve(t, h, 1, 1000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.ReadAt(k, 1000, make([]byte, 10), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("got %v, want %v", err, fs.ErrClosed)
	}
	if h.Has(k, 1000) {
		t.Error("it is there")
	}
}

func TestAgesBegin(t *testing.T) {
	a := ages{now: time.Now()}
	for age := time.Duration(0); age < 10*365*24*time.Hour; age += age/100 + time.Millisecond {
		used := a.now.Add(-age)
		if began := a.began(a.index(content{modified: used})); began.After(used) {
			t.Fatalf("age %v began %v too late", age, began.Sub(used))
		}
		if began := a.began(a.index(content{modified: used})); age > 4*recentWindow && used.Sub(began) > age/16 {
			t.Fatalf("age %v began %v before", age, used.Sub(began))
		}
	}
}

func BenchmarkShelf(b *testing.B) {
	s := openStore(b, b.TempDir(), plenty)
	h := s.Shelf("registry.example.org team/my-app")
	data, k := shelve(b, h, 1, 4<<10)
	b.Run("Has", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !h.Has(k, 4<<10) {
				b.Fatal("not there")
			}
		}
	})
	b.Run("ReadAt", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(4 << 10)
		p := make([]byte, 4<<10)
		for b.Loop() {
			if _, err := h.ReadAt(k, 4<<10, p, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("PutVerified", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(4 << 10)
		for i := 0; b.Loop(); i++ {
			copy(data, []byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)})
			if err := h.PutVerified(sha256.Sum256(data), data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestShelvesHaveWhatWasPutOnThem compares a store that evicts, is damaged and
// opened again with what was ever put on three shelves: nothing else is read from
// them, and what is read is right.
func TestShelvesHaveWhatWasPutOnThem(t *testing.T) {
	const contents, limit = 180, 8 << 20 // which is half of them
	dir := t.TempDir()
	var s *Store
	var evicted int64
	now := time.Now()
	reopen := func() {
		t.Helper()
		if s != nil {
			evicted += s.Stats().Evicted
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if s, err = open(dir, limit); err != nil {
			t.Fatal(err)
		}
		s.log = slog.New(slog.DiscardHandler)
		s.now = func() time.Time { return now }
		s.trim(t.Context()) // which counts
	}
	reopen()
	defer func() { s.Close() }()
	ever := map[string]map[int]bool{"a": {}, "b": {}, "c": {}}
	owners := []string{"a", "b", "c"}
	r := rand.New(rand.NewPCG(1, 2))
	read := 0
	for step := range 6000 {
		now = now.Add(time.Minute)
		if s.Stats().Bytes > high(limit) {
			s.trim(t.Context())
		}
		owner, i := owners[r.IntN(3)], r.IntN(contents)
		h, size := s.Shelf(owner), 1+anySize(i)
		data, k := bytesOf(uint64(i), size)
		switch n := r.IntN(400); {
		case n == 0:
			reopen()
		case n < 7:
			spoilSegment(t, dir, r)
		case n < 100:
			b := h.Batch()
			if err := errors.Join(b.PutVerified(k, data), b.Close()); err != nil {
				t.Fatal(err)
			}
			ever[owner][i] = true
		case n < 120:
			_ = h.PutVerified(k, data) // or it is held for a moment
			ever[owner][i] = true
		default:
			got, err := h.Bytes(k, int64(size))
			if err == nil && (!ever[owner][i] || !bytes.Equal(got, data)) {
				t.Fatalf("step %d: content %d of shelf %s: got %d bytes; put there: %v", step, i, owner, len(got), ever[owner][i])
			}
			if h.Has(k, int64(size)) && !ever[owner][i] {
				t.Fatalf("step %d: content %d is said to be on shelf %s", step, i, owner)
			}
			if err == nil {
				read++
			}
		}
	}
	if st := s.Stats(); read < 1000 || evicted < 100 || st.Bytes > limit {
		t.Errorf("%d reads found anything, %d contents were evicted, %+v", read, evicted, st)
	}
}

// spoilSegment changes a byte of a segment.
func spoilSegment(t *testing.T, dir string, r *rand.Rand) {
	t.Helper()
	names, _ := segmentFiles(t, dir)
	if len(names) == 0 {
		return
	}
	f, err := os.OpenFile(names[r.IntN(len(names))], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Size() == 0 {
		return
	}
	at := r.Int64N(fi.Size())
	b := []byte{0}
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{^b[0]}, at); err != nil {
		t.Fatal(err)
	}
}
