// Package hostname writes the names of sites as DNS labels, so that every
// version of every site can be an origin of its own: v1-2--my-app names
// my-app:v1.2. It knows nothing of DNS servers or HTTP, nor which sites there
// are.
//
// A label has lower-case letters, digits and hyphens, 63 at most (RFC 1035), so
// that not every repository and tag fits. There are two forms, which differ in
// whether there is a double hyphen:
//
//	plain  TAG--COMPONENT[--COMPONENT…]   v3--team--docs        team/docs:v3
//	                                      v1-2-3--my-app        my-app:v1.2.3
//	short  SLUG-HASH                      feature-x-my-app-jsnh…  my-app:Feature_X
//
// Plain is what consists of words that are joined by single hyphens, or by dots
// between two digits, which become hyphens; a hyphen between two digits is
// therefore not plain. The slug of a short label is for people. Its hash is 16
// characters: four of the repository, so that it can be found without trying
// the tags of all, and twelve of repository and tag.
package hostname

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// MaxLabel is the longest DNS label, in bytes. Source: RFC 1035, 2.3.4.
const MaxLabel = 63

const (
	separator = "--" // between the tag and the components of a plain label
	// punycode begins the labels that browsers decode (RFC 5890), and refuse
	// when that fails.
	punycode = "xn" + separator

	repoHash = 4  // base32 characters: one in a million repositories has the same
	tagHash  = 12 // 60 bits: nobody finds a tag for somebody else's label
	hashes   = repoHash + tagHash
	maxSlug  = MaxLabel - 1 - hashes
)

// Label is the label of a tag. It is the same everywhere and for ever, and no
// two tags have the same.
func Label(repo, tag string) string {
	label := plain(tag)
	for component := range strings.SplitSeq(repo, "/") {
		word := plain(component)
		if word == "" || label == "" {
			return short(repo, tag)
		}
		label += separator + word
	}
	if len(label) > MaxLabel || strings.HasPrefix(label, punycode) {
		return short(repo, tag)
	}
	return label
}

// Parse gives what a plain label names. No other label is one.
func Parse(label string) (repo, tag string, ok bool) {
	tag, rest, found := strings.Cut(label, separator)
	if !found {
		return "", "", false
	}
	tag, repo = dotted(tag), dotted(strings.ReplaceAll(rest, separator, "/"))
	return repo, tag, Label(repo, tag) == label
}

// MayBeOf tells whether a label can be the short one of a tag of the repository.
// One in a million times it is not.
func MayBeOf(repo, label string) bool {
	i := len(label) - hashes
	return i > 1 && label[i-1] == '-' && !strings.Contains(label, separator) && label[i:i+repoHash] == hash(repo)[:repoHash]
}

// plain writes a tag or a component as it stands in a plain label, or "".
func plain(s string) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case isLetter(c) || isDigit(c):
			continue
		case i == 0 || i == len(b)-1, !isWord(b[i-1]) || !isWord(s[i+1]):
			return ""
		case c == '.' && isDigit(b[i-1]) && isDigit(s[i+1]):
			b[i] = '-'
		case c != '-' || isDigit(b[i-1]) && isDigit(s[i+1]):
			return ""
		}
	}
	return string(b)
}

// dotted turns hyphens between two digits back into dots.
func dotted(s string) string {
	b := []byte(s)
	for i := 1; i+1 < len(b); i++ {
		if b[i] == '-' && isDigit(b[i-1]) && isDigit(b[i+1]) {
			b[i] = '.'
		}
	}
	return string(b)
}

func short(repo, tag string) string {
	s := slug(tag + "-" + repo)
	s = strings.TrimRight(s[:min(len(s), maxSlug)], "-")
	return s + "-" + hash(repo)[:repoHash] + hash(repo + ":" + tag)[:tagHash]
}

// slug keeps the words of a name.
func slug(s string) string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r > 'z' || !isWord(byte(r)) })
	return strings.Join(words, "-")
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

func isWord(c byte) bool   { return isLetter(c) || isDigit(c) }
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
