package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"sort"
)

// member is a key of a JSON object with its value, as it was written.
type member struct {
	key   string
	value json.RawMessage
	at    int // where in the document the value begins
}

var errNotObject = errors.New("not a JSON object")

// objectIn reads a document that is one JSON object. Its keys are told apart by
// their case, and all are given that are there twice.
func objectIn(data []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	keys, err := object(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return keys, nil
}

func object(d *json.Decoder) ([]member, error) {
	return members(d, '{', errNotObject)
}

// members reads an object or a list; the values of a list have no keys.
func members(d *json.Decoder, open json.Delim, notOne error) ([]member, error) {
	switch t, err := d.Token(); {
	case errors.Is(err, io.EOF):
		return nil, notOne
	case err != nil:
		return nil, err
	case t != open:
		return nil, notOne
	}
	var all []member
	for d.More() {
		var m member
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			m.key = key.(string) // a decoder gives nothing else in a key's place
		}
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		m.at = int(d.InputOffset()) - len(m.value)
		all = append(all, m)
	}
	_, err := d.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return all, err
}

// in gives what is in the value of m, an object or a list: open is its first
// byte. ok tells whether it is one.
func (m member) in(open json.Delim) (all []member, ok bool) {
	all, err := members(json.NewDecoder(bytes.NewReader(m.value)), open, errNotObject)
	for i := range all {
		all[i].at += m.at
	}
	return all, err == nil
}

// lines finds the number of a line. It holds the offsets at which lines begin.
type lines []int

func linesOf(data []byte) lines {
	l := lines{0}
	for i, b := range data {
		if b == '\n' {
			l = append(l, i+1)
		}
	}
	return l
}

// at is the number, from 1, of the line that holds offset.
func (l lines) at(offset int) int {
	return sort.Search(len(l), func(i int) bool { return l[i] > offset })
}
