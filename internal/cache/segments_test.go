package cache

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// segmentFiles are the segments of a cache, and how large they are.
func segmentFiles(t *testing.T, dir string) (names []string, size int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, layout, segmentsDir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if fi, err := os.Stat(name); err == nil {
			size += fi.Size()
		}
	}
	return names, size
}

// fill closes a store with contents 0 to n of so many bytes in its segments.
func fill(t *testing.T, dir string, n, size int, max int64) {
	t.Helper()
	s, err := open(dir, plenty)
	if err != nil {
		t.Fatal(err)
	}
	s.segments.max = max
	for i := range n {
		put(t, s, uint64(i), size)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// wantSome checks that the store has exactly the contents of fill that want
// says, and that they are right.
func wantSome(t *testing.T, s *Store, n, size int, want func(i int) bool) {
	t.Helper()
	for i := range n {
		data, k := bytesOf(uint64(i), size)
		if !want(i) {
			wantMissing(t, s, k, size)
			if s.Has(k, int64(size)) {
				t.Errorf("content %d: there", i)
			}
			continue
		}
		wantContent(t, s, k, data)
	}
}

func all(int) bool { return true }

func TestSmallContentsShareSegmentsAndOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 100, 1000, 20*(recordHeader+1000))
	names, size := segmentFiles(t, dir)
	if want := int64(100 * (recordHeader + 1000)); len(names) != 5 || size != want {
		t.Errorf("%d segments of %d bytes, want 5 of %d", len(names), size, want)
	}
	s := openQuiet(t, dir, plenty)
	wantSome(t, s, 100, 1000, all)
	if got := s.Stats(); got.Bytes != size || got.Files != 100 || got.Damaged != 0 {
		t.Errorf("got %+v, want %d bytes in 100 contents", got, size)
	}
}

func TestRestartsFillTheSameSegment(t *testing.T) {
	dir := t.TempDir()
	for i := range 30 {
		s, err := open(dir, plenty)
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, uint64(i), 1000)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if names, _ := segmentFiles(t, dir); len(names) != 1 {
		t.Errorf("%d segments, want 1", len(names))
	}
	wantSome(t, openQuiet(t, dir, plenty), 30, 1000, all)
}

func TestIndexOfASegmentOnlySparesTime(t *testing.T) {
	const n, size = 30, 500
	for name, harmIndex := range map[string]func(t *testing.T, file string, good []byte){
		"missing":   func(t *testing.T, file string, _ []byte) { os.Remove(file) },
		"emptied":   func(t *testing.T, file string, _ []byte) { harm(t, file, nil) },
		"torn":      func(t *testing.T, file string, good []byte) { harm(t, file, good[:len(good)-indexEntry]) },
		"flipped":   func(t *testing.T, file string, good []byte) { harm(t, file, flip(good, len(good)/2)) },
		"another's": func(t *testing.T, file string, _ []byte) { harm(t, file, formatIndex("other.seg", nil, 0)) },
		"stale": func(t *testing.T, file string, good []byte) {
			seg := filepath.Base(strings.TrimSuffix(file, indexSuffix) + segmentSuffix)
			entries, _, ok := parseIndex(seg, good, plenty)
			if !ok {
				t.Fatal("the index is not good")
			}
			harm(t, file, formatIndex(seg, entries[:n/2], entries[n/2-1].end()))
		},
		"folder": func(t *testing.T, file string, _ []byte) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(file, 0o700); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir, n, size, plenty)
			names, _ := segmentFiles(t, dir)
			file := strings.TrimSuffix(names[0], segmentSuffix) + indexSuffix
			good, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			harmIndex(t, file, good)
			wantSome(t, openQuiet(t, dir, plenty), n, size, all)
		})
	}
}

func TestTornTailIsNotBelieved(t *testing.T) {
	const n, size = 5, 300
	const last = (n - 1) * (recordHeader + size) // where the last record begins
	dir := t.TempDir()
	fill(t, dir, n, size, plenty)
	names, _ := segmentFiles(t, dir)
	whole, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	index := strings.TrimSuffix(names[0], segmentSuffix) + indexSuffix
	for _, cut := range []int{1, 10, recordHeader - 1, recordHeader, recordHeader + 1, recordHeader + size - 1} {
		for name, tail := range map[string][]byte{"cut": nil, "zeros": make([]byte, size), "old bytes": whole[:700]} {
			_ = os.Remove(index)
			harm(t, names[0], append(bytes.Clone(whole[:last+cut]), tail...))
			s, err := open(dir, plenty)
			if err != nil {
				t.Fatal(err)
			}
			s.log = slog.New(slog.DiscardHandler)
			data, k := bytesOf(n-1, size)
			if _, err := s.Bytes(k, size); err == nil {
				t.Fatalf("%d bytes of the last record, then %s: it is believed", cut, name)
			}
			wantSome(t, s, n-1, size, all)
			put(t, s, n-1, size) // which cuts the tail off
			put(t, s, n, size)
			wantContent(t, s, k, data)
			if got, err := os.ReadFile(names[0]); err != nil || cut < recordHeader && len(got) != len(whole)+recordHeader+size {
				t.Errorf("%d bytes of the last record, then %s: the segment has %d bytes, %v", cut, name, len(got), err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			wantSome(t, openQuiet(t, dir, plenty), n+1, size, all)
		}
	}
}

func TestFlippedByteInASegmentIsFound(t *testing.T) {
	const n, size, broken = 6, 100, 2
	const begin = broken * (recordHeader + size)
	dir := t.TempDir()
	fill(t, dir, n, size, plenty)
	names, _ := segmentFiles(t, dir)
	whole, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	index := strings.TrimSuffix(names[0], segmentSuffix) + indexSuffix
	for at := begin; at < begin+recordHeader+size; at++ {
		inHeader := at < begin+recordHeader
		harm(t, names[0], flip(whole, at))
		s := openQuiet(t, dir, plenty) // by the index, which does not read headers
		s.log = slog.New(slog.DiscardHandler)
		wantSome(t, s, n, size, func(i int) bool { return i != broken || inHeader })
		if got := s.Stats().Damaged; got == 0 != inHeader {
			t.Errorf("byte %d: damaged %d", at-begin, got)
		}
		good, err := os.ReadFile(index)
		if err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(index)
		s = openQuiet(t, dir, plenty)
		s.log = slog.New(slog.DiscardHandler)
		wantSome(t, s, n, size, func(i int) bool { return i != broken && (!inHeader || i < broken) })
		harm(t, index, good)
	}
}

func TestDamageInASegmentIsLoggedOnceAndRepaired(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	data, k := put(t, s, 1, 1000)
	names, _ := segmentFiles(t, dir)
	harm(t, names[0], bytes.Repeat([]byte{0}, recordHeader+1000))
	for range 3 {
		wantMissing(t, s, k, 1000)
	}
	if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), short(k)) {
		t.Errorf("got log %q, want one line with %s", log.String(), short(k))
	}
	put(t, s, 1, 1000)
	wantContent(t, s, k, data)
	if got := s.Stats(); got.Damaged != 1 || got.Files != 1 {
		t.Errorf("got %+v, want one damaged and one there", got)
	}
}

// TestFormerFilesAreServed is about small contents in files of their own, as
// all once were: they are read until they are evicted.
func TestFormerFilesAreServed(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	s.small = onlyFiles
	data, k := put(t, s, 1, 1000)
	s.small = verifyWhole
	wantContent(t, s, k, data)
	put(t, s, 1, 1000)
	harm(t, where(dir, k), data[:500])
	wantContent(t, s, k, data)
	if got, want := s.Stats(), onDisk(1000)+recordHeader+1000; got.Bytes != want || got.Files != 2 {
		t.Errorf("got %+v, want %d bytes in two contents", got, want)
	}
}

func TestOldSegmentsGoAndWhatIsUsedStays(t *testing.T) {
	const n, size, perSegment = 100, 1000, 10
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	s.segments.max = perSegment * (recordHeader + size)
	start := time.Now().Add(-time.Hour)
	for i := range n {
		s.now = func() time.Time { return start.Add(time.Duration(i) * time.Second) }
		put(t, s, uint64(i), size)
	}
	s.now = func() time.Time { return start.Add(10 * time.Minute) }
	for _, i := range []int{3, 14, 25} {
		data, k := bytesOf(uint64(i), size)
		wantContent(t, s, k, data)
	}
	s.now = func() time.Time { return start.Add(20 * time.Minute) }
	for _, test := range []struct {
		limit      int64
		stay, gone []int
	}{{80, []int{3, 14, 25, 80, 99}, []int{35, 45}}, {40, []int{3, 14, 25, 89, 99}, []int{2, 13, 55, 65}}} {
		s.limit = test.limit * (recordHeader + size)
		s.trim(t.Context())
		st := s.Stats()
		if st.Bytes > low(s.limit) || st.Bytes < low(s.limit)/2 || st.Evicted == 0 {
			t.Errorf("got %+v, want a little less than %d bytes", st, low(s.limit))
		}
		for i := range n {
			if _, k := bytesOf(uint64(i), size); slices.Contains(test.stay, i) != s.Has(k, size) && slices.Contains(slices.Concat(test.stay, test.gone), i) {
				t.Errorf("room for %d of 100: content %d there: %v", test.limit, i, s.Has(k, size))
			}
		}
		if _, got := segmentFiles(t, dir); got != st.Bytes {
			t.Errorf("%d bytes on disk, %d counted", got, st.Bytes)
		}
	}
	data, k := bytesOf(3, size)
	wantContent(t, s, k, data)
}

// TestSmallLoadStaysBelowTheLimit puts ten times what fits, while others read.
func TestSmallLoadStaysBelowTheLimit(t *testing.T) {
	const limit, size = 4 << 20, 8 << 10
	dir := t.TempDir()
	s := openStore(t, dir, limit)
	hot, hotKey := put(t, s, 1<<20, size)
	stop := make(chan struct{})
	var writers, others sync.WaitGroup
	for g := range uint64(2) {
		writers.Go(func() {
			for i := range uint64(10 * limit / size / 2) {
				data, k := bytesOf(g<<16|i, size)
				_ = s.Put(k, data)
			}
		})
	}
	others.Go(func() { readWhile(t, s, stop, hotKey, hot) })
	others.Go(func() {
		for running(stop) {
			if _, got := segmentFiles(t, dir); got > limit+limit/20 {
				t.Errorf("%d bytes on disk, limit %d", got, limit)
			}
		}
	})
	writers.Wait()
	close(stop)
	others.Wait()
	wantContent(t, s, hotKey, hot)
	st := s.Stats()
	if st.Refused > 50 || st.Damaged != 0 || st.Bytes < limit/2 || st.Evicted == 0 {
		t.Errorf("got %+v, want few refused, none damaged, and a full cache", st)
	}
}

func TestDescriptorsOfSegmentsAreBounded(t *testing.T) {
	const limit = 1 << 20
	s := openStore(t, t.TempDir(), limit)
	before := descriptors(t)
	for i := range 3000 {
		data, k := bytesOf(uint64(i), 2000)
		_ = s.Put(k, data)
	}
	if got := descriptors(t) - before; got > segmentParts+10 {
		t.Errorf("%d descriptors, want about %d", got, segmentParts)
	}
	for _, size := range []int64{1 << 20, 1 << 30, 10 << 30, 100 << 30, 500 << 30} {
		if got := size / segmentSize(size); got > 8*segmentParts {
			t.Errorf("a cache of %d bytes has %d segments", size, got)
		}
	}
}

func TestTwoStoresAppendAndEvict(t *testing.T) {
	dir := t.TempDir()
	const limit = 2 << 20
	a, b := openStore(t, dir, limit), openStore(t, dir, limit)
	var wg sync.WaitGroup
	for g, s := range []*Store{a, b} {
		wg.Go(func() {
			for i := range uint64(400) {
				data, k := bytesOf(uint64(g)<<16|i, 5000)
				_ = s.Put(k, data)
				if got, err := s.Bytes(k, 5000); err == nil && !bytes.Equal(got, data) {
					t.Errorf("content %d: other bytes", i)
				}
			}
		})
	}
	wg.Wait()
	later := time.Now().Add(time.Hour / 2) // what was read is no longer recent
	for _, s := range []*Store{a, b} {
		s.recent.add(Key{}, later)
		s.round.kick(later)
	}
	eventually(t, "both together are below the limit", func() bool { return onDiskNow(a.dir) <= limit })
	if n := a.Stats().Damaged + b.Stats().Damaged; n != 0 {
		t.Errorf("damaged %d, want 0", n)
	}
}

func TestSegmentThatVanishedIsAMissAfterTheNextWalk(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	data, k := put(t, s, 1, 1000)
	names, _ := segmentFiles(t, dir)
	if err := os.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, k, data) // the open file is still good
	s.trim(t.Context())
	wantMissing(t, s, k, 1000)
	if got := s.Stats(); got.Bytes != 0 || got.Files != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
	put(t, s, 1, 1000)
	wantContent(t, s, k, data)
}

func TestDeletedFolderOfSegmentsIsOnlyAMiss(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	_, k := put(t, s, 1, 1000)
	if err := os.RemoveAll(filepath.Join(dir, layout, segmentsDir)); err != nil {
		t.Fatal(err)
	}
	s.trim(t.Context())
	wantMissing(t, s, k, 1000)
	if data, k := bytesOf(2, 10); s.Put(k, data) == nil {
		t.Error("a put into a deleted folder worked")
	}
}

func FuzzSegment(f *testing.F) {
	data, k := bytesOf(1, 50)
	b, _ := appendRecord(nil, freshRecord{key: k, data: data})
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add(append(bytes.Clone(b), b...))
	marked, _ := appendRecord(bytes.Clone(b), freshRecord{key: Shelf{}.Mark(k)})
	f.Add(marked)
	f.Add(formatIndex("a.seg", []entry{{k, recordHeader, 50}}, int64(len(b))))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, end := scan(bytes.NewReader(b), 0, int64(len(b)))
		if end > int64(len(b)) || int64(len(entries)*recordHeader) > end {
			t.Errorf("%d entries up to %d of %d bytes", len(entries), end, len(b))
		}
		for _, e := range entries {
			if e.end() > end {
				t.Errorf("an entry ends at %d of %d", e.end(), end)
			}
		}
		indexed, last, ok := parseIndex("a.seg", b, 1000)
		if ok && !bytes.Equal(formatIndex("a.seg", indexed, last), b) {
			t.Errorf("accepted %q as another index", b)
		}
	})
}
