package cache

import "sync"

// usage is the size of the cache, as far as this process knows it. A walk
// through the shards finds out what is there; between walks it counts what it
// does itself.
type usage struct {
	mu       sync.Mutex // guards all below
	bytes    int64      // of files and documents, and those taken
	files    int64
	writing  int64 // bytes taken for what is not in place yet
	segments int64 // bytes

	// A walk sees what happens in the shards that it has yet to enter. What
	// happens in the others is counted here.
	entered                  int // the shard that the walk is in
	missedBytes, missedFiles int64
}

func (u *usage) get() (bytes, files int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes + u.segments, u.files
}

// take reserves n bytes if no more than limit are in use then. It returns how
// many bytes are wanted by all.
func (u *usage) take(n, limit int64) (bytes int64, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bytes+u.segments+n > limit {
		return u.bytes + u.segments + n, false
	}
	u.bytes += n
	u.writing += n
	return u.bytes + u.segments, true
}

// release gives back what take reserved.
func (u *usage) release(n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.writing -= n
	u.bytes -= n
}

// placed notes that the file of k is there, n bytes that take reserved.
func (u *usage) placed(k Key, n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.writing -= n
	u.files++
	u.change(k, n, 1)
}

// removed notes that the file of k is gone, n bytes.
func (u *usage) removed(k Key, n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bytes = max(0, u.bytes-n)
	u.files = max(0, u.files-1)
	u.change(k, -n, -1)
}

func (u *usage) change(k Key, bytes, files int64) {
	if int(k[0]) <= u.entered {
		u.missedBytes += bytes
		u.missedFiles += files
	}
}

// document notes that documents take n bytes more.
func (u *usage) document(n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bytes = max(0, u.bytes+n)
}

// segment notes that segments take n bytes more.
func (u *usage) segment(n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.segments += n
}

// enter notes that a walk enters a shard. The first one begins the walk.
func (u *usage) enter(shard int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.entered = shard
	if shard == 0 {
		u.missedBytes, u.missedFiles = 0, 0
	}
}

// walked notes what a whole walk has found.
func (u *usage) walked(bytes, files int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bytes = max(0, bytes+u.missedBytes+u.writing)
	u.files = max(0, files+u.missedFiles)
}
