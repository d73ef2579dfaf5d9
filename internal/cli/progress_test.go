package cli

import (
	"bytes"
	"testing"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 1234: "1.2 kB", 999_949: "999.9 kB", 999_950: "1.0 MB",
		1_200_000: "1.2 MB", 10 << 30: "10.7 GB", 1<<63 - 1: "9.2 EB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d): got %q, want %q", n, got, want)
		}
	}
}

func TestProgressDrawsOnTerminalsOnly(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	p.Draw("1 of 2")
	p.Clear()
	if out.Len() != 0 || p.Shown() {
		t.Errorf("got %q, shown %v, want nothing", out.String(), p.Shown())
	}
}
