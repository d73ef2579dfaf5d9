package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
)

// MaxConfigSize bounds a configuration blob, in bytes: a page of settings, not
// a place for data.
const MaxConfigSize = 1 << 20

// Config is what a site says of itself. Keys that this version does not know
// are ignored here and kept in the blob.
type Config struct {
	MediaType string `json:"mediaType"` // MediaTypeConfig
	RootDir   string `json:"rootDir"`   // folder in the layer that becomes the root of the site; "" or "." is the whole layer
}

// ParseConfig reads a configuration blob. Its errors say which key is wrong.
func ParseConfig(data []byte) (Config, error) {
	var c Config
	if len(data) > MaxConfigSize {
		return c, fmt.Errorf("site configuration: %d bytes, more than %d", len(data), MaxConfigSize)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("site configuration: %w", err)
	}
	if c.RootDir == "" {
		c.RootDir = "."
	}
	if !fs.ValidPath(c.RootDir) {
		return c, fmt.Errorf("site configuration: rootDir %q is not a path inside the layer", c.RootDir)
	}
	return c, nil
}

// Encode gives the bytes that a configuration blob holds: indented by two
// spaces and without a line end, as the original format writes it, so that
// equal configurations have equal digests.
func (c Config) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(c); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
