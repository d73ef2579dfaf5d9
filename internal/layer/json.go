package layer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	// maxString bounds a string in bytes: a path of PATH_MAX bytes, each
	// escaped in six.
	maxString = 32 << 10
	// maxNesting bounds values inside each other that are passed over.
	maxNesting = 64
)

// jsonReader reads JSON as a stream and hands out what is in it without making
// values of it: a table of contents is a list of up to a million small objects,
// and parsing it is what the first visitor of a version waits for. It looks at
// its own buffer rather than at a bufio.Reader's, which costs a call a byte.
// Source: RFC 8259.
type jsonReader struct {
	r    io.Reader
	buf  []byte // what was read and not taken yet is buf[at:end]
	at   int
	end  int
	key  []byte // of the member that is being read
	long []byte // a string with escapes
}

func newJSONReader(r io.Reader) *jsonReader {
	return &jsonReader{r: r, buf: make([]byte, 2*maxString)}
}

// fill reads more behind what is there. There is room for it: nothing longer
// than a string is ever kept.
func (j *jsonReader) fill() error {
	j.end = copy(j.buf, j.buf[j.at:j.end])
	j.at = 0
	for range 100 {
		n, err := j.r.Read(j.buf[j.end:])
		j.end += n
		switch {
		case n > 0:
			return nil // an error comes again
		case err != nil:
			return malformed(err)
		}
	}
	return malformed(io.ErrNoProgress)
}

// next gives the first byte that is no white space, and does not take it.
func (j *jsonReader) next() (byte, error) {
	for {
		for j.at < j.end {
			c := j.buf[j.at]
			if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
				return c, nil
			}
			j.at++
		}
		if err := j.fill(); err != nil {
			return 0, err
		}
	}
}

// take takes the byte want, after white space.
func (j *jsonReader) take(want byte) error {
	c, err := j.next()
	if err != nil {
		return err
	}
	if c != want {
		return fmt.Errorf("%w: JSON: got %q where %q should be", ErrFormat, c, want)
	}
	j.at++
	return nil
}

// object reads an object; member is called with each key and has to read the
// value, after which the key is another.
func (j *jsonReader) object(member func(key []byte) error) error {
	return j.list('{', '}', func() error {
		key, err := j.text()
		if err != nil {
			return err
		}
		j.key = append(j.key[:0], key...)
		if err := j.take(':'); err != nil {
			return err
		}
		return member(j.key)
	})
}

// array reads an array; element has to read each.
func (j *jsonReader) array(element func() error) error { return j.list('[', ']', element) }

func (j *jsonReader) list(begin, end byte, element func() error) error {
	if err := j.take(begin); err != nil {
		return err
	}
	c, err := j.next()
	if err != nil || c == end {
		j.at++
		return err
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if c, err = j.next(); err != nil {
			return err
		}
		if c == end {
			j.at++
			return nil
		}
		if err := j.take(','); err != nil {
			return err
		}
	}
}

// text reads a string. It is good until the next call.
func (j *jsonReader) text() ([]byte, error) {
	if err := j.take('"'); err != nil {
		return nil, err
	}
	for from := j.at; ; {
		if i := bytes.IndexByte(j.buf[from:j.end], '"'); i >= 0 {
			from += i + 1
			if s := j.buf[j.at : from-1]; !endsInSlash(s) {
				j.at = from
				return j.plain(s)
			}
			continue
		}
		seen := j.end - j.at
		if seen >= maxString {
			return nil, malformed(errors.New("a string that is too long or does not end"))
		}
		if err := j.fill(); err != nil {
			return nil, err
		}
		from = j.at + seen
	}
}

// endsInSlash tells whether the quote behind s is an escaped one.
func endsInSlash(s []byte) bool {
	slashes := 0
	for i := len(s) - 1; i >= 0 && s[i] == '\\'; i-- {
		slashes++
	}
	return slashes%2 == 1
}

// plain is what the inside of a string says.
func (j *jsonReader) plain(s []byte) ([]byte, error) {
	if len(s) >= maxString {
		return nil, malformed(errors.New("a string that is too long"))
	}
	if bytes.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	j.long = append(append(append(j.long[:0], '"'), s...), '"')
	var plain string
	if err := json.Unmarshal(j.long, &plain); err != nil {
		return nil, malformed(err)
	}
	return []byte(plain), nil
}

// string reads a string into the memory of *to.
func (j *jsonReader) string(to *[]byte) error {
	s, err := j.text()
	*to = append((*to)[:0], s...)
	return err
}

// int64 reads a whole number.
func (j *jsonReader) int64(to *int64) error {
	if _, err := j.next(); err != nil {
		return err
	}
	word := j.word()
	if n, ok := shortNumber(word); ok {
		*to = n
		return nil
	}
	n, err := strconv.ParseInt(string(word), 10, 64)
	*to = n
	return malformed(err)
}

// shortNumber reads the usual number: some digits, too few to overflow.
func shortNumber(word []byte) (n int64, ok bool) {
	if len(word) == 0 || len(word) > 18 {
		return 0, false
	}
	for _, c := range word {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// maxWord is how many bytes of a number, true, false or null are looked at: more
// than a whole number has, which is "-9223372036854775808" at the longest, and
// than others write.
const maxWord = 32

// word reads a number, true, false or null, or as much of it as is looked at. It
// is good until the next call.
func (j *jsonReader) word() []byte {
	for j.end-j.at < maxWord && j.fill() == nil {
	}
	rest := j.buf[j.at:min(j.end, j.at+maxWord)]
	for i, c := range rest {
		switch c {
		case ',', ']', '}', ' ', '\n', '\t', '\r':
			rest = rest[:i]
			j.at += i
			return rest
		}
	}
	j.at += len(rest)
	return rest
}

// skip passes over any value.
func (j *jsonReader) skip() error { return j.skipNested(maxNesting) }

func (j *jsonReader) skipNested(left int) error {
	c, err := j.next()
	switch {
	case err != nil:
		return err
	case left == 0:
		return fmt.Errorf("%w: JSON: more than %d values inside each other", ErrFormat, maxNesting)
	case c == '"':
		_, err := j.text()
		return err
	case c == '{':
		return j.object(func([]byte) error { return j.skipNested(left - 1) })
	case c == '[':
		return j.array(func() error { return j.skipNested(left - 1) })
	}
	if word := j.word(); !json.Valid(word) {
		return fmt.Errorf("%w: JSON: %q is no value", ErrFormat, word)
	}
	return nil
}

// finish wants nothing more to come.
func (j *jsonReader) finish() error {
	switch c, err := j.next(); {
	case err == nil:
		return fmt.Errorf("%w: JSON: %q follows its end", ErrFormat, c)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// malformed gives an error of reading its kind: where JSON should go on, the
// end of the stream is no end.
func malformed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: JSON: %w", ErrFormat, err)
}
