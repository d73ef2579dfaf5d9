package site

import (
	"path"
	"strings"
)

const (
	// minHash is the shortest part of a name that is taken for a hash: bundlers
	// write 8 characters and more.
	minHash = 8
	// maxHash is the longest: SHA-512 in hexadecimal.
	maxHash = 128
)

// isFingerprinted tells whether a file's name looks as if it had a hash of the
// file's content in it, as bundlers write it: app-3f9a1c2b.js, main.8e0d62a0.css,
// chunk-ABCD1234.mjs, index-Bk_T3x-9.js, entry.DlAUqK2U.js, 935f2afb.chunk.js.map.
// Such a name means the same content in all versions, or is in none.
//
// The name has to have an ending, which is none of a page's. What is before it is
// cut at "." and "-", "_" and "~", and one of the pieces has to be a hash (see
// isHash), or what follows the last "." or "-" and is 8 characters long, since
// Rollup's hashes may have "-" and "_" in them. When it is wrong about a name, a
// file that was deleted is found for some more hours by who knows its name.
func isFingerprinted(name string) bool {
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	if len(ext) < 2 || stem == "" || isPage(strings.ToLower(name)) || strings.EqualFold(ext, ".xhtml") {
		return false
	}
	for i, piece := range strings.FieldsFunc(stem, func(r rune) bool { return strings.ContainsRune(".-_~", r) }) {
		if isHash(piece, i > 0) {
			return true
		}
	}
	before := len(stem) - minHash - 1
	return before > 0 && (stem[before] == '-' || stem[before] == '.') && isHash(stem[before+1:], true)
}

// isHash tells whether a piece of a name, of letters, digits, "-" and "_", is a
// hash rather than a word, a date or a number:
//
//   - hexadecimal: 8 to 128 digits of one case with both letters and numerals
//   - 8 characters with two kinds out of lower case, upper case and numerals, as
//     Rollup (base64url) and esbuild (base32) write them; or longer ones with all
//     three kinds
//   - 8 upper-case letters that nobody can pronounce: one in five of esbuild's
//
// but neither a word with a number behind it (section10, DSC00012, Overview2),
// unless it is of the kind that only esbuild writes (ABCD1234, after a "-" or ".";
// inside tells that it is), nor a word with a capital.
func isHash(s string, inside bool) bool {
	if len(s) < minHash || len(s) > maxHash {
		return false
	}
	k := kindsOf(s)
	switch {
	case k.other || k.letters() == 0 && k.digits == len(s):
		return false
	case k.isHex():
		return true
	case k.isNumberedWord(s):
		return inside && len(s) == minHash && k.lower == 0 && (k.digits > 1 || !isPronounceable(s))
	case k.digits == 0 && k.lower == 0:
		return inside && len(s) == minHash && k.upper == len(s) && !isPronounceable(s)
	case len(s) == minHash:
		return k.kinds() >= 2 && !isCapitalised(s)
	}
	return k.kinds() == 3
}

// kinds counts what a piece of a name is made of.
type kinds struct {
	lower, upper, digits int
	beyondHex            bool // letters after f
	other                bool // neither letter nor digit nor "-" nor "_"
}

func kindsOf(s string) (k kinds) {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			k.digits++
		case 'a' <= c && c <= 'z':
			k.lower++
			k.beyondHex = k.beyondHex || c > 'f'
		case 'A' <= c && c <= 'Z':
			k.upper++
			k.beyondHex = k.beyondHex || c > 'F'
		case c == '-' || c == '_':
			k.beyondHex = true
		default:
			k.other = true
		}
	}
	return k
}

func (k kinds) letters() int { return k.lower + k.upper }

func (k kinds) kinds() (n int) {
	for _, count := range []int{k.lower, k.upper, k.digits} {
		if count > 0 {
			n++
		}
	}
	return n
}

func (k kinds) isHex() bool {
	return !k.beyondHex && k.digits > 0 && k.letters() > 0 && (k.lower == 0 || k.upper == 0)
}

// isNumberedWord tells of letters with a number behind them, of one case or with
// a capital in front.
func (k kinds) isNumberedWord(s string) bool {
	word := strings.TrimRight(s, "0123456789")
	return word != s && len(word) == k.letters() && (k.lower == 0 || k.upper == 0 || isCapitalised(word))
}

// isCapitalised tells of a word with one capital, in front.
func isCapitalised(word string) bool {
	return 'A' <= word[0] && word[0] <= 'Z' && strings.Trim(word[1:], "abcdefghijklmnopqrstuvwxyz") == ""
}

// isPronounceable tells whether a word has vowels enough to be one: at most three
// consonants in a row, and two vowels.
func isPronounceable(s string) bool {
	vowels, row := 0, 0
	for i := range len(s) {
		if strings.IndexByte("AEIOUYaeiouy", s[i]) >= 0 {
			vowels++
			row = 0
		} else if row++; row > 3 {
			return false
		}
	}
	return vowels >= 2
}
