package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// MaxConfigSize bounds a configuration blob, in bytes: a page of settings, not
// a place for data.
const MaxConfigSize = 1 << 20

// Config is what a site says of itself.
type Config struct {
	RootDir string // folder in the layer that becomes the root of the site; "." is the whole layer
	Settings
}

// ParseConfig reads a configuration blob. Settings that make no sense are told
// as problems and left at their defaults, since a site is better served without
// one than not at all; without its root folder it cannot be served.
func ParseConfig(data []byte) (Config, []Problem, error) {
	if len(data) > MaxConfigSize {
		return Config{}, nil, fmt.Errorf("site configuration: %d bytes, more than %d", len(data), MaxConfigSize)
	}
	keys, err := objectIn(data)
	if err != nil {
		return Config{}, nil, fmt.Errorf("site configuration: %w", err)
	}
	c := Config{RootDir: "."}
	keys = slices.DeleteFunc(keys, func(m member) bool {
		if m.key == keyRootDir {
			err = errors.Join(err, c.setRootDir(m.value))
		}
		return m.key == keyRootDir || m.key == keyMediaType
	})
	if err != nil {
		return Config{}, nil, err
	}
	r := settingsReader{lines: linesOf(data)}
	c.Settings = r.settings(keys)
	return c, r.problems, nil
}

// setRootDir takes a root folder as it stands in a blob: "" is as good as ".".
func (c *Config) setRootDir(value []byte) error {
	if err := json.Unmarshal(value, &c.RootDir); err != nil {
		return fmt.Errorf("site configuration: rootDir %.100s is not a string", value)
	}
	if c.RootDir == "" {
		c.RootDir = "."
	}
	if !fs.ValidPath(c.RootDir) {
		return fmt.Errorf("site configuration: rootDir %.100q is not a path inside the layer", c.RootDir)
	}
	return nil
}

// Encode gives the bytes that a configuration blob holds: indented by two
// spaces and without a line end, as the original format writes it, so that
// equal configurations have equal digests. What is at its default is left out,
// so that who sets nothing has the blob of the original format. The keys that
// this version does not know come last, in the order of their names.
func (c Config) Encode() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	o := objectWriter{to: &b}
	o.add(keyMediaType, MediaTypeConfig)
	o.add(keyRootDir, c.RootDir)
	if c.SPA {
		o.add(keySPA, true)
	}
	if len(c.Redirects) > 0 {
		o.add(keyRedirects, c.Redirects)
	}
	if len(c.Headers) > 0 {
		o.add(keyHeaders, c.Headers)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Other)) {
		o.add(key, c.Other[key])
	}
	b.WriteByte('}')
	if o.err != nil {
		return nil, o.err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, b.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	if indented.Len() > MaxConfigSize {
		return nil, fmt.Errorf("%d bytes, more than the %d that readers take", indented.Len(), MaxConfigSize)
	}
	return indented.Bytes(), nil
}

// objectWriter writes the keys of a JSON object in the order in which they are
// added.
type objectWriter struct {
	to  *bytes.Buffer
	n   int
	err error
}

func (o *objectWriter) add(key string, value any) {
	if o.n++; o.n > 1 {
		o.to.WriteByte(',')
	}
	o.value(key)
	o.to.WriteByte(':')
	o.value(value)
}

// value writes v as short as it can be written: white space in what users wrote
// does not change the digest.
func (o *objectWriter) value(v any) {
	if raw, ok := v.(json.RawMessage); ok {
		o.err = errors.Join(o.err, json.Compact(o.to, raw))
		return
	}
	e := json.NewEncoder(o.to)
	e.SetEscapeHTML(false)
	o.err = errors.Join(o.err, e.Encode(v))
	o.to.Truncate(o.to.Len() - 1) // the line end
}
