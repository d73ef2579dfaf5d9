package front

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// sitesVersion is the version of the form of sites.json.
const sitesVersion = 1

// maxTags bounds the list of sites, and with it the memory that it takes: some
// 300 bytes for each tag. What is beyond is not listed, but served as ever.
const maxTags = 100_000

// sites is sites.json, described in docs/listing.md.
type sites struct {
	Version      int                       `json:"version"` // sitesVersion
	Registry     string                    `json:"registry"`
	Refresh      float64                   `json:"refresh"`
	Pending      int                       `json:"pending"`
	Problem      string                    `json:"problem,omitempty"`
	Repositories []repository              `json:"repositories"`
	Versions     map[digest.Digest]version `json:"versions"`
}

type repository struct {
	Name    string `json:"name"`
	Problem string `json:"problem,omitempty"`
	Tags    []tag  `json:"tags"`

	listed time.Time // when the registry last listed its tags
	failed time.Time // when it last did not
	news   time.Time // until when there is news of it
}

type tag struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest,omitempty"`
	Host   string        `json:"host,omitempty"`
	Path   string        `json:"path,omitempty"`
	Pushed *time.Time    `json:"pushed,omitempty"`
	Before *time.Time    `json:"before,omitempty"`

	checked time.Time // when the registry last said what it names
	failed  time.Time // when it last did not
	news    time.Time // until when there is news of it
}

type version struct {
	Manifest digest.Digest `json:"manifest,omitempty"`
	Size     int64         `json:"size,omitempty"`
	Files    int           `json:"files,omitempty"`
	Bytes    int64         `json:"bytes,omitempty"`
	Created  *time.Time    `json:"created,omitempty"`
	Problem  string        `json:"problem,omitempty"`

	tried time.Time // when its description was last asked for without success
}

// encode writes the list; x.mu is held.
func (x *index) encode() []byte {
	s := sites{
		Version: sitesVersion, Registry: x.registry, Refresh: x.refresh.Seconds(), Problem: x.problem,
		Repositories: make([]repository, 0, len(x.repos)), Versions: make(map[digest.Digest]version, len(x.versions)),
	}
	hidden := x.folders()
	for _, name := range slices.Sorted(maps.Keys(x.repos)) {
		r := *x.repos[name]
		tags := make([]tag, len(r.Tags))
		for i, t := range r.Tags {
			if hidden[path.Join(name, t.Name)] {
				t.Path = name + ":" + t.Name
			}
			if v := x.versions[t.Digest]; v == nil || x.describe && v.Manifest == "" && v.Problem == "" {
				s.Pending++
			}
			tags[i] = t
		}
		if r.Tags = tags; x.problem != "" {
			r.Problem = "" // that is the reason
		}
		s.Repositories = append(s.Repositories, r)
	}
	for d, v := range x.versions {
		known := *v
		known.Files, known.Bytes = x.counts[v.Manifest].Files, x.counts[v.Manifest].Bytes
		s.Versions[d] = known
	}
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // there is nothing in it that JSON cannot say
	}
	return append(data, '\n')
}

// folders are the repositories and the folders above them, behind which tags
// of the same path hide.
func (x *index) folders() map[string]bool {
	all := map[string]bool{}
	for name := range x.repos {
		for dir := name; dir != "." && !all[dir]; dir = path.Dir(dir) {
			all[dir] = true
		}
	}
	return all
}
