package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/regfs/regfs/internal/rules"
)

// schema is as much of a JSON schema as docs/site.schema.json has to say.
type schema struct {
	Properties map[string]schema
	Items      *schema
	Required   []string
	MaxItems   int
	Enum       []int
	Default    any
	Type       string
	Const      string
}

// The schema says what the code does.
func TestSchemaDescribesTheSettings(t *testing.T) {
	data, err := os.ReadFile("../../docs/site.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	keys := func(p map[string]schema) []string { return slices.Sorted(maps.Keys(p)) }
	if got, want := keys(s.Properties), []string{keySchema, keyHeaders, keyMediaType, keyRedirects, keyRootDir, keySPA}; !slices.Equal(got, want) {
		t.Errorf("got keys %q, want %q", got, want)
	}
	if got := s.Properties[keyMediaType].Const; got != MediaTypeConfig {
		t.Errorf("got media type %q, want %q", got, MediaTypeConfig)
	}
	redirects, headers := s.Properties[keyRedirects], s.Properties[keyHeaders]
	if redirects.MaxItems != rules.MaxRedirects || headers.MaxItems != rules.MaxHeaders {
		t.Errorf("got %d redirects and %d headers, want %d and %d", redirects.MaxItems, headers.MaxItems, rules.MaxRedirects, rules.MaxHeaders)
	}
	if got, want := keys(redirects.Items.Properties), []string{"force", "from", "status", "to"}; !slices.Equal(got, want) {
		t.Errorf("got keys %q of a redirect, want %q", got, want)
	}
	if got, want := keys(headers.Items.Properties), []string{"for", "values"}; !slices.Equal(got, want) {
		t.Errorf("got keys %q of headers, want %q", got, want)
	}
	status := redirects.Items.Properties["status"]
	for code := range 600 {
		_, problems := ParseSettings(fmt.Appendf(nil, `{"redirects": [{"from": "/a", "to": "/b", "status": %d}]}`, code))
		if got, want := problems == nil, slices.Contains(status.Enum, code); got != want {
			t.Errorf("status %d: taken %v, in the schema %v", code, got, want)
		}
	}
	if status.Default != float64(rules.DefaultStatus) {
		t.Errorf("got status %v by default, want %d", status.Default, rules.DefaultStatus)
	}
}
