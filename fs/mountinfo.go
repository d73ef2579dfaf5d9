package fs

import (
	"bufio"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mountEntry is what the mount table says of a mountpoint.
type mountEntry struct {
	kind  string // type of the file system
	minor string // number of its device, of which the major one is 0 where there is no disk
}

// mounted looks the point up in the mount table, and tells whether what is there
// is a file system of ours.
func mounted(point string) (at mountEntry, ours bool, err error) {
	if point, err = filepath.Abs(point); err != nil {
		return at, false, err
	}
	table, err := mountTable()
	at = table[point]
	return at, at.kind == fsType, err
}

// Mountpoints are where file systems of ours are mounted, in order, whether
// their daemons live or not.
func Mountpoints() ([]string, error) {
	table, err := mountTable()
	maps.DeleteFunc(table, func(_ string, e mountEntry) bool { return e.kind != fsType })
	return slices.Sorted(maps.Keys(table)), err
}

// mountTable tells what is on each mountpoint: the last mount counts.
func mountTable() (map[string]mountEntry, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table := map[string]mountEntry{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if point, e, ok := parseMountinfo(lines.Text()); ok {
			table[point] = e
		}
	}
	return table, lines.Err()
}

// parseMountinfo reads the mountpoint, and what is on it, out of a line such as
//
//	36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw
//
// Source: proc_pid_mountinfo(5).
func parseMountinfo(line string) (point string, e mountEntry, ok bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields, types := strings.Fields(before), strings.Fields(after)
	if !ok || len(fields) < 6 || len(types) < 1 {
		return "", e, false
	}
	_, minor, _ := strings.Cut(fields[2], ":")
	return unescape(fields[4]), mountEntry{types[0], minor}, true
}

// unescape undoes the octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
