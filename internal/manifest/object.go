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
	switch t, err := d.Token(); {
	case errors.Is(err, io.EOF):
		return nil, errNotObject
	case err != nil:
		return nil, err
	case t != json.Delim('{'):
		return nil, errNotObject
	}
	var keys []member
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{key: key.(string)} // a decoder gives nothing else in a key's place
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		m.at = int(d.InputOffset()) - len(m.value)
		keys = append(keys, m)
	}
	_, err := d.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return keys, err
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
