package cache

import (
	"testing"

	"golang.org/x/sys/unix"
)

func wantAt(t *testing.T, d *Descriptor, data []byte, off int) {
	t.Helper()
	p := make([]byte, 100)
	_, err := unix.Pread(int(d.Fd()), p, d.Offset()+int64(off))
	if err != nil || string(p) != string(data[off:off+100]) {
		t.Errorf("at %d: other bytes, %v", off, err)
	}
}

func TestDescriptorOutlivesEvictionAndTheOthers(t *testing.T) {
	s := openQuiet(t, t.TempDir(), plenty)
	s.open.max = 1
	const size = verifyWhole + 1000
	data, k := put(t, s, 1, size)
	d, ok := s.Descriptor(k, size)
	if !ok {
		t.Fatal("no descriptor")
	}
	defer d.Release()
	other, kOther := put(t, s, 2, size)
	checkRead(t, s, kOther, other, 0, 10) // which takes the only place
	s.evictOne(content{key: k, bytes: onDisk(size)})
	wantAt(t, d, data, 500)
	if _, ok := s.Descriptor(k, size); ok {
		t.Error("a descriptor of what was evicted")
	}
}

func TestDescriptorsAreOnlyOfWhatIsWholeAndLarge(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, plenty)
	const size = verifyWhole + 1000
	_, small := put(t, s, 2, 1000)
	before := settledDescriptors(t)
	data, k := put(t, s, 1, size)
	for _, test := range []struct {
		name string
		key  Key
		size int64
	}{{"missing", Key{1}, size}, {"small", small, 1000}, {"of another size", k, size + 1}} {
		if _, ok := s.Descriptor(test.key, test.size); ok {
			t.Errorf("%s: got a descriptor", test.name)
		}
	}
	d, ok := s.Descriptor(k, size)
	if !ok {
		t.Fatal("no descriptor")
	}
	wantAt(t, d, data, 0)
	d.Release()
	harm(t, where(dir, k), flip(data, 77))
	if _, ok := s.Descriptor(k, size); ok {
		t.Error("got a descriptor of damaged bytes")
	}
	if got := settledDescriptors(t); got != before {
		t.Errorf("%d descriptors are open, want %d", got, before)
	}
}
