package cli

import "testing"

func TestSizeReadsWhatPeopleWrite(t *testing.T) {
	for text, want := range map[string]Size{
		"10GiB": 10 << 30, "10G": 10 << 30, "10gib": 10 << 30, "1.5 MiB": 3 << 19, "500MB": 500e6, "1024": 1024, "7B": 7, "0": 0,
	} {
		var s Size
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%q: got %d, %v; want %d", text, s, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "ten", "1e30", "NaN", "10 QiB"} {
		var s Size
		if err := s.Set(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, s)
		}
	}
	if s := Size(10 << 30); s.String() != "10GiB" {
		t.Errorf("got %q, want %q", s.String(), "10GiB")
	}
}
