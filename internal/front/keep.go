package front

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"

	"github.com/regfs/regfs/internal/compare"
	"github.com/regfs/regfs/internal/hostname"
)

// keptName is the document with what is known of a registry: sites.json as it
// was last.
func (f *Front) keptName() string { return "sites/" + f.source.Key() }

// restore takes over what was kept; whatever makes no sense is left out.
func (f *Front) restore() {
	data, err := f.store.LoadDocument(f.keptName())
	var s sites
	if err != nil || json.Unmarshal(data, &s) != nil || s.Version != sitesVersion {
		return
	}
	x := &f.index
	for d, v := range s.Versions {
		if d.Validate() == nil && (v.Manifest == "" || v.Manifest.Validate() == nil) {
			x.versions[d] = &v
			if v.Files > 0 {
				x.counts[v.Manifest] = compare.Count{Files: v.Files, Bytes: v.Bytes}
			}
		}
	}
	for _, r := range s.Repositories {
		r.Tags = slices.DeleteFunc(r.Tags, func(t tag) bool { return t.Digest != "" && x.versions[t.Digest] == nil })
		slices.SortFunc(r.Tags, func(a, b tag) int { return strings.Compare(a.Name, b.Name) })
		for i := range r.Tags {
			r.Tags[i].Path, r.Tags[i].Host = "", hostname.Label(r.Name, r.Tags[i].Name)
		}
		if f.source.Allowed(r.Name) && x.tagCount+len(r.Tags) <= maxTags {
			x.tagCount += len(r.Tags)
			x.repos[r.Name] = &r
		}
	}
}

// save keeps what is known, if it changed.
func (f *Front) save() {
	f.index.mu.Lock()
	unsaved := f.index.unsaved
	f.index.unsaved = false
	var data []byte
	if unsaved {
		data = f.index.encode()
	}
	f.index.mu.Unlock()
	if !unsaved {
		return
	}
	if err := f.store.SaveDocument(f.keptName(), data); err != nil {
		slog.Warn("the list of sites is not kept", "event", "cache_full", "err", err)
	}
}
