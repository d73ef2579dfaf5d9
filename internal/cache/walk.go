package cache

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// content is a file that a walk found.
type content struct {
	key      Key
	bytes    int64 // on disk
	modified time.Time
}

// walk visits all contents, shard by shard. False means that ctx ended before.
// Files that are not the cache's are passed over.
func (f *folder) walk(ctx context.Context, enter func(shard int), visit func(content)) bool {
	for i := range 256 {
		enter(i)
		if !f.walkShard(ctx, Key{byte(i)}, visit) {
			return false
		}
	}
	return true
}

func (f *folder) walkShard(ctx context.Context, k Key, visit func(content)) bool {
	dir, err := f.root.OpenFile(shard(k), os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return ctx.Err() == nil // not there yet, as a rule
	}
	defer dir.Close()
	for ctx.Err() == nil {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			if c, ok := stat(dir, name); ok && c.key[0] == k[0] {
				visit(c)
			}
		}
		if err != nil {
			return true
		}
	}
	return false
}

func stat(dir *os.File, name string) (c content, ok bool) {
	if c.key, ok = parse(name); !ok {
		return c, false
	}
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return c, false
	}
	c.bytes = onDisk(st.Size)
	c.modified = time.Unix(st.Mtim.Unix())
	return c, true
}
