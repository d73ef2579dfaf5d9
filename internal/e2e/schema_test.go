package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// describes fails the test for each document that is not as the schema in docs/
// says, and for each field of theirs of which it says nothing.
func describes(t *testing.T, schema string, documents ...[]byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", schema))
	must(t, err)
	// Readers pass over fields that are new to them; here all are known.
	closed := strings.ReplaceAll(string(text), `"properties": {`, `"additionalProperties": false, "properties": {`)
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(closed))
	must(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	must(t, c.AddResource(schema, parsed))
	compiled, err := c.Compile(schema) // which compares it with the schema of schemas
	must(t, err)
	for _, document := range documents {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
		must(t, err)
		if err := compiled.Validate(value); err != nil {
			t.Errorf("%s: %v\n%s", schema, err, document)
		}
	}
}
