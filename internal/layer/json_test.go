package layer

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzReadEntry compares the reader of entries with encoding/json: what both
// take must mean the same.
func FuzzReadEntry(f *testing.F) {
	f.Add(`{"name":"a\u00e9\"\\b/","type":"reg","size":10,"xattrs":{"k":["v",null,true,-1.5e3]},"chunkSize": 4 , "modtime":"x"}`)
	f.Add(`{ }`)
	f.Add(`{"name":"\ud83d\ude00","size":-9223372036854775808}`)
	f.Fuzz(func(t *testing.T, text string) {
		var item tocItem
		err := item.read(newJSONReader(strings.NewReader(text)))
		got := tocEntry{
			Name: string(item.name), Type: string(item.kind), LinkName: string(item.link), Size: item.size, Offset: item.offset,
			InnerOffset: item.innerOffset, ChunkOffset: item.chunkOffset, ChunkSize: item.chunkSize, ChunkDigest: string(item.chunkDigest),
		}
		var want tocEntry
		if err != nil || json.Unmarshal([]byte(text), &want) != nil || strings.Contains(text, "\ufffd") {
			return
		}
		if got.Name != strings.ToValidUTF8(got.Name, "") {
			return // encoding/json puts other characters in place of what is not UTF-8
		}
		want.Mode, want.UID, want.GID, want.Digest = 0, 0, 0, ""
		if got != want && !ambiguous(text) {
			t.Errorf("%s: got %+v, encoding/json has %+v", text, got, want)
		}
	})
}

// ambiguous tells whether encoding/json may take a key for another: it does not
// mind upper case.
func ambiguous(text string) bool {
	var keys map[string]any
	if json.Unmarshal([]byte(text), &keys) != nil {
		return true
	}
	for key := range keys {
		for _, known := range []string{"name", "type", "size", "linkName", "offset", "innerOffset", "chunkOffset", "chunkSize", "chunkDigest"} {
			if key != known && strings.EqualFold(key, known) {
				return true
			}
		}
	}
	return false
}
