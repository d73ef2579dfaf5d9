package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Size is a flag's number of bytes, written as 10GiB, 500M or 1048576.
type Size int64

var _ pflag.Value = (*Size)(nil)

// sizeUnits are the letters of sizes; with "B" alone or nothing they are powers of
// 1024 too, as df and docker have it, but for the explicit KB of disk makers.
var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3},
	{"T", 1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"B", 1}, {"", 1},
}

// Set reads a size.
func (s *Size) Set(text string) error {
	for _, u := range sizeUnits {
		number, ok := cutSuffixFold(strings.TrimSpace(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || n < 0 || n*u.bytes > math.MaxInt64/2 || math.IsNaN(n) {
			break
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is no size: write it like 10GiB or 500MB", text)
}

func cutSuffixFold(s, suffix string) (string, bool) {
	if len(s) < len(suffix) || !strings.EqualFold(s[len(s)-len(suffix):], suffix) {
		return s, false
	}
	return s[:len(s)-len(suffix)], true
}

// Type names the value in a command's help.
func (s *Size) Type() string { return "size" }

// String is the size with the largest unit that leaves at least 1.
func (s *Size) String() string {
	for _, u := range sizeUnits[:4] {
		if float64(*s) >= u.bytes {
			return strconv.FormatFloat(math.Round(float64(*s)/u.bytes*10)/10, 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatInt(int64(*s), 10) + "B"
}
