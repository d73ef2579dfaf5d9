package registry

import (
	"fmt"
	"io/fs"
	"strings"
)

const (
	// maxRepository is the longest repository name, in bytes: docker-registry
	// answers longer ones with a 500.
	maxRepository = 255
	// maxTag is the longest tag, in bytes. Source: distribution-spec, "pull".
	maxTag = 128
)

// ValidRepository reports whether name is a repository by the grammar of the
// distribution spec: components of lower-case letters and digits joined by
// ".", "_", "__" or dashes, with slashes between the components.
func ValidRepository(name string) bool {
	if len(name) > maxRepository {
		return false
	}
	for {
		component, rest, more := strings.Cut(name, "/")
		if !validComponent(component) {
			return false
		}
		if !more {
			return true
		}
		name = rest
	}
}

// validComponent matches [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*.
func validComponent(s string) bool {
	if s == "" || !lowerAlnum(s[0]) || !lowerAlnum(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); {
		if lowerAlnum(s[i]) {
			i++
			continue
		}
		from := i
		for i < len(s) && s[i] == s[from] {
			i++
		}
		if !lowerAlnum(s[i]) || !validSeparator(s[from:i]) { // the last byte is alphanumeric, so i is within s
			return false
		}
	}
	return true
}

// validSeparator knows which runs of one byte may join the words of a
// component.
func validSeparator(run string) bool {
	return run == "." || run == "_" || run == "__" || run[0] == '-'
}

// ValidTag reports whether tag is one by the grammar of the distribution spec:
// a letter, digit or underscore, then up to 127 of these, dots and dashes.
func ValidTag(tag string) bool {
	if tag == "" || len(tag) > maxTag || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	for i := range len(tag) {
		c := tag[i]
		if !lowerAlnum(c) && (c < 'A' || c > 'Z') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

func lowerAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// checkRepository gives names that no registry can hold the error that a
// registry would give, without asking one.
func checkRepository(name string) error {
	if ValidRepository(name) {
		return nil
	}
	return fmt.Errorf("%q is not a repository name (lower-case words joined by '.', '_', '-' and '/'): %w", cut(name), fs.ErrNotExist)
}

func checkTag(tag string) error {
	if ValidTag(tag) {
		return nil
	}
	return fmt.Errorf("%q is not a tag (letters, digits, '_', '.', '-', at most %d): %w", cut(tag), maxTag, fs.ErrNotExist)
}
