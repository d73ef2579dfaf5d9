package layer

import (
	"bufio"
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
// and parsing it is what the first visitor of a version waits for. The first
// error stays. Source: RFC 8259.
type jsonReader struct {
	r   *bufio.Reader
	key []byte // of the member that is being read
	buf []byte // of a string with escapes
}

func newJSONReader(r io.Reader) *jsonReader {
	return &jsonReader{r: bufio.NewReaderSize(r, maxString)}
}

// next gives the first byte that is no white space, and does not take it.
func (j *jsonReader) next() (byte, error) {
	for {
		c, err := j.r.ReadByte()
		if err != nil {
			return 0, malformed(err)
		}
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c, j.r.UnreadByte()
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
	_, err = j.r.ReadByte()
	return err
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
		return errors.Join(err, j.skipByte())
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if c, err = j.next(); err != nil {
			return err
		}
		if c == end {
			return j.skipByte()
		}
		if err := j.take(','); err != nil {
			return err
		}
	}
}

func (j *jsonReader) skipByte() error {
	_, err := j.r.ReadByte()
	return malformed(err)
}

// text reads a string. It is good until the next call.
func (j *jsonReader) text() ([]byte, error) {
	if err := j.take('"'); err != nil {
		return nil, err
	}
	s, err := j.r.ReadSlice('"')
	if err != nil {
		return nil, malformed(err)
	}
	if bytes.IndexByte(s, '\\') < 0 {
		return s[:len(s)-1], nil
	}
	return j.escaped(s)
}

// escaped reads the rest of a string with escapes that begins with s.
func (j *jsonReader) escaped(s []byte) ([]byte, error) {
	j.buf = append(append(j.buf[:0], '"'), s...)
	for endsEscaped(j.buf) {
		more, err := j.r.ReadSlice('"')
		if j.buf = append(j.buf, more...); err != nil || len(j.buf) > maxString {
			return nil, malformed(errors.Join(err, errors.New("a string that is too long or does not end")))
		}
	}
	var plain string
	if err := json.Unmarshal(j.buf, &plain); err != nil {
		return nil, malformed(err)
	}
	return []byte(plain), nil
}

// endsEscaped tells whether the quote at the end is an escaped one.
func endsEscaped(s []byte) bool {
	slashes := 0
	for i := len(s) - 2; i > 0 && s[i] == '\\'; i-- {
		slashes++
	}
	return slashes%2 == 1
}

// string reads a string to keep.
func (j *jsonReader) string(to *string) error {
	s, err := j.text()
	*to = string(s)
	return err
}

// int64 reads a whole number.
func (j *jsonReader) int64(to *int64) error {
	if _, err := j.next(); err != nil {
		return err
	}
	var digits [20]byte // "-9223372036854775808"
	n, err := strconv.ParseInt(string(j.word(digits[:0])), 10, 64)
	*to = n
	return malformed(err)
}

// word reads a number, true, false or null into buf, or as much as fits.
func (j *jsonReader) word(buf []byte) []byte {
	for len(buf) < cap(buf) {
		c, err := j.r.ReadByte()
		if err != nil {
			break // what follows will say so
		}
		if bytes.IndexByte([]byte(",]} \n\t\r"), c) >= 0 {
			_ = j.r.UnreadByte()
			break
		}
		buf = append(buf, c)
	}
	return buf
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
	var buf [32]byte
	if word := j.word(buf[:0]); !json.Valid(word) {
		return fmt.Errorf("%w: JSON: %q is no value", ErrFormat, word)
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
