package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// maxNesting bounds values inside each other: the deepest of an index are the
// annotations of its entries.
const maxNesting = 32

// checkJSON refuses a document that has a key twice in one object, also in
// another case: encoding/json takes the last of them and does not mind the case,
// others take the first or mind it, and then two readers see two documents.
func checkJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // never 1e999999 as a number
	return checkValue(d, maxNesting)
}

func checkValue(d *json.Decoder, left int) error {
	t, err := d.Token()
	delim, ok := t.(json.Delim)
	if err != nil || !ok {
		return err
	}
	if left == 0 {
		return fmt.Errorf("more than %d values inside each other", maxNesting)
	}
	var keys map[string]bool
	for d.More() {
		if delim == '{' {
			if keys, err = checkKey(d, keys); err != nil {
				return err
			}
		}
		if err := checkValue(d, left-1); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// checkKey takes the next key of an object, which must not be among its keys so
// far.
func checkKey(d *json.Decoder, keys map[string]bool) (map[string]bool, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	key, ok := t.(string)
	if !ok {
		return nil, errors.New("a key that is no string")
	}
	if keys == nil {
		keys = map[string]bool{}
	}
	folded := strings.ToLower(strings.ToUpper(key)) // as encoding/json folds: also the long s and the sign for kelvin
	if keys[folded] {
		return nil, fmt.Errorf("the key %.100q is there twice", key)
	}
	keys[folded] = true
	return keys, nil
}
