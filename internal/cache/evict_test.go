package cache

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"
)

func backdate(t *testing.T, dir string, k Key, age time.Duration) {
	t.Helper()
	then := time.Now().Add(-age)
	if err := os.Chtimes(where(dir, k), then, then); err != nil {
		t.Fatal(err)
	}
}

// onDiskNow is what all contents take, as a new walk finds it.
func onDiskNow(f *folder) (total int64) {
	f.walk(context.Background(), func(int) {}, func(c content) { total += c.bytes })
	segments, _ := fs.Glob(f.root.FS(), segmentsDir+"/*"+segmentSuffix)
	for _, name := range segments {
		if fi, err := f.root.Lstat(name); err == nil {
			total += fi.Size()
		}
	}
	return total
}

func TestTheOldestGoFirst(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	s.small = onlyFiles
	var keys []Key
	for i := range 100 {
		_, k := put(t, s, uint64(i), blockSize)
		backdate(t, dir, k, time.Duration(100-i)*time.Minute)
		keys = append(keys, k)
	}
	s.limit = 60 * blockSize
	s.trim(t.Context())
	for i, k := range keys {
		if got, want := s.Has(k, blockSize), i >= 46; got != want {
			t.Errorf("content %d of 100: there: %v, want %v", i, got, want)
		}
	}
	if got := s.Stats(); got.Bytes != 54*blockSize || got.Files != 54 || got.Evicted != 46 {
		t.Errorf("got %+v, want 54 blocks and files left of 100", got)
	}
}

func TestWhatIsBeingReadStays(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	s.small = onlyFiles
	data, old := put(t, s, 1000, blockSize)
	backdate(t, dir, old, 50*time.Minute)
	for i := range 100 {
		put(t, s, uint64(i), blockSize)
	}
	start := time.Now()
	s.now = func() time.Time { return start }
	checkRead(t, s, old, data, 0, 10)
	s.limit = 60 * blockSize
	s.now = func() time.Time { return start.Add(recentWindow - 1) }
	s.trim(t.Context())
	if !s.Has(old, blockSize) {
		t.Error("evicted within the window")
	}
	s.limit = 40 * blockSize
	s.now = func() time.Time { return start.Add(3 * recentWindow) }
	s.trim(t.Context())
	if s.Has(old, blockSize) {
		t.Error("still there long after the window, and the oldest")
	}
}

func TestEvictedContentIsReadToItsEnd(t *testing.T) {
	dir := t.TempDir()
	s := openQuiet(t, dir, plenty)
	data, k := put(t, s, 1, 2<<20)
	o, err := s.open.get(k)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.verified(o, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	s.evictOne(content{key: k, bytes: onDisk(f.state.size)})
	p := make([]byte, 10)
	if _, err := f.ReadAt(p, 1<<20); err != nil || string(p) != string(data[1<<20:1<<20+10]) {
		t.Errorf("got %q, %v", p, err)
	}
	s.open.put(o)
	wantMissing(t, s, k, len(data))
}

// TestLoadStaysBelowTheLimit puts ten times what fits, while others read.
func TestLoadStaysBelowTheLimit(t *testing.T) {
	const limit = 8 << 20
	s := openStore(t, t.TempDir(), limit)
	var writing sync.RWMutex // held for writing while the files are counted
	var writers, readers sync.WaitGroup
	hot, hotKey := put(t, s, 1<<20, 10_000)
	wantContent(t, s, hotKey, hot) // else the writers may be done with it before the readers begin
	for g := range 2 {
		writers.Go(func() { load(t, s, &writing, uint64(g), 10*limit/2) })
	}
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() { readWhile(t, s, stop, hotKey, hot) })
	}
	readers.Go(func() {
		for running(stop) {
			writing.Lock()
			got := onDiskNow(s.dir)
			writing.Unlock()
			if got > limit+limit/20 {
				t.Errorf("%d bytes on disk, limit %d", got, limit)
			}
		}
	})
	writers.Wait()
	close(stop)
	readers.Wait()
	wantContent(t, s, hotKey, hot)
	st := s.Stats()
	if st.Refused > 50 || st.Damaged != 0 || st.Bytes < limit/2 {
		t.Errorf("got %+v, want few refused, none damaged, and a full cache", st)
	}
}

func running(stop chan struct{}) bool {
	select {
	case <-stop:
		return false
	case <-time.After(20 * time.Millisecond):
		return true
	}
}

// load puts contents of 32 to 160 KiB until they are so many bytes.
func load(t *testing.T, s *Store, writing *sync.RWMutex, seed uint64, total int) {
	r := rand.New(rand.NewPCG(seed, 0))
	for i := uint64(0); total > 0; i++ {
		data, k := bytesOf(seed<<16|i, (32+r.IntN(128))<<10)
		writing.RLock()
		err := s.Put(k, data)
		writing.RUnlock()
		if err != nil && !errors.Is(err, ErrFull) {
			t.Errorf("put: %v", err)
		}
		total -= len(data)
	}
}

func readWhile(t *testing.T, s *Store, stop chan struct{}, k Key, want []byte) {
	for running(stop) {
		got, err := s.Bytes(k, int64(len(want)))
		if err != nil || string(got) != string(want) {
			t.Errorf("got %d bytes, %v: what is read all the time was evicted", len(got), err)
			return
		}
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	s := openStore(t, t.TempDir(), 1<<20)
	data, k := bytesOf(1, 1<<20+1)
	if err := s.Put(k, data); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
}

func TestFutileEvictionIsNotRepeated(t *testing.T) {
	s := openQuiet(t, t.TempDir(), 10*blockSize)
	s.start()
	if err := s.SaveDocument("namespace", make([]byte, 9*blockSize)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first walk is over", func() bool { return len(s.round.wanted) == 0 && s.Stats().Bytes == 10*blockSize })
	data, k := bytesOf(1, 1)
	begin := time.Now()
	for range 100 {
		if err := s.Put(k, data); !errors.Is(err, ErrFull) {
			t.Fatalf("got %v, want ErrFull", err)
		}
	}
	if took := time.Since(begin); took > evictionWait {
		t.Errorf("took %v: every put waited", took)
	}
}

func TestTwoStoresShareAFolder(t *testing.T) {
	dir := t.TempDir()
	const limit = 4 << 20
	a, b := openStore(t, dir, limit), openStore(t, dir, limit)
	large, k := put(t, a, 1, verifyWhole+1)
	wantContent(t, b, k, large)
	small, k := put(t, a, 1, 5000)
	eventually(t, "the other's walk finds a small content", func() bool {
		b.round.kick(time.Now())
		return b.Has(k, 5000)
	})
	wantContent(t, b, k, small)

	var wg sync.WaitGroup
	for _, s := range []*Store{a, b} {
		wg.Go(func() {
			for i := range uint64(400) {
				data, k := bytesOf(i, 30_000)
				if err := s.Put(k, data); err != nil && !errors.Is(err, ErrFull) {
					t.Errorf("put: %v", err)
				}
				got, err := s.Bytes(k, int64(len(data)))
				if err == nil && string(got) != string(data) || err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("read: %d bytes, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
	// Each only knew of its own puts. Their walks see both.
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

func TestOnlyOneEvicts(t *testing.T) {
	dir := t.TempDir()
	a, b := openQuiet(t, dir, plenty), openQuiet(t, dir, plenty)
	b.small = onlyFiles
	for i := range 10 {
		put(t, b, uint64(i), blockSize)
	}
	b.limit = blockSize
	if !a.dir.lockEviction(t.Context()) {
		t.Fatal("no lock")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*lockPoll)
	defer cancel()
	b.trim(ctx)
	if got := b.Stats().Evicted; got != 0 {
		t.Errorf("evicted %d while the other has the lock", got)
	}
	a.dir.unlockEviction()
	b.trim(t.Context())
	if got := b.Stats().Evicted; got == 0 {
		t.Error("evicted nothing with the lock")
	}
}

func TestAgesAreOrdered(t *testing.T) {
	a := ages{now: time.Now()}
	last := -1
	for age := time.Duration(0); age < 100*365*24*time.Hour; age += age/100 + time.Millisecond {
		i := a.index(content{modified: a.now.Add(-age)})
		if i < last || i > last+64 {
			t.Fatalf("age %v has step %d after %d", age, i, last)
		}
		last = i
	}
	if got := a.index(content{modified: a.now.Add(time.Hour)}); got != 0 {
		t.Errorf("the future has step %d, want 0", got)
	}
	if got := a.index(content{modified: time.Unix(-1<<40, 0)}); got >= len(a.bytes) {
		t.Errorf("the distant past has step %d of %d", got, len(a.bytes))
	}
}

func TestWalkCountsWhatHappensMeanwhile(t *testing.T) {
	var u usage
	u.take(10, plenty)
	u.enter(0)
	u.enter(100)
	u.placed(Key{200}, 10) // the walk is going to see it
	u.take(20, plenty)
	u.placed(Key{50}, 20) // the walk has passed
	u.removed(Key{50}, 7)
	u.take(40, plenty) // not in place yet
	u.enter(255)
	u.walked(1000+10, 3)
	if bytes, files := u.get(); bytes != 1000+10+20-7+40 || files != 3 {
		t.Errorf("got %d bytes in %d files, want 1063 in 3", bytes, files)
	}
}

func TestRecentForgets(t *testing.T) {
	r := newRecent()
	start := time.Unix(1_700_000_000, 0)
	r.add(Key{1}, start)
	for _, test := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {recentWindow, true}, {2*recentWindow - 1, true}, {3 * recentWindow, false}} {
		if got := r.has(Key{1}, start.Add(test.after)); got != test.want {
			t.Errorf("after %v: %v, want %v", test.after, got, test.want)
		}
	}
	for i := range 3 * recentMax {
		r.add(Key{byte(i), byte(i >> 8), byte(i >> 16), 9}, start.Add(time.Minute))
	}
	if got := len(r.keys) + len(r.older); got > 2*recentMax {
		t.Errorf("%d keys, want at most %d", got, 2*recentMax)
	}
}
