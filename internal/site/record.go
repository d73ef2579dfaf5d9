package site

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regfs/regfs/internal/manifest"
	"github.com/regfs/regfs/internal/tree"
)

// record is what is kept of a site beside its tree, as JSON.
type record struct {
	Version  int                   `json:"version"` // recordVersion
	Digest   digest.Digest         `json:"digest"`
	RootDir  string                `json:"rootDir"`
	Settings manifest.Settings     `json:"settings"`
	Layers   []manifest.Descriptor `json:"layers"`
	Warning  string                `json:"warning,omitempty"`
}

// recordVersion changes when more of a configuration is understood: what an
// older version kept lacks it, and is made again.
const recordVersion = 4

// newRecord is what a manifest and its configuration say of a site.
func newRecord(d digest.Digest, m *v1.Manifest, config []byte) (record, error) {
	c, problems, err := manifest.ConfigOf(m, config)
	if err != nil {
		return record{}, err
	}
	r := record{Version: recordVersion, Digest: d, RootDir: c.RootDir, Settings: c.Settings, Layers: m.Layers}
	r.Settings.Other = nil // nobody here knows what to do with them
	for i := range r.Layers {
		r.Layers[i].Data = nil
	}
	if len(problems) > 0 {
		r.warn(fmt.Sprintf("a setting in its configuration is left out (line %d): %s", problems[0].Line, problems[0]))
	}
	return r, nil
}

// warn adds a sentence to what is odd about a site.
func (r *record) warn(text string) {
	if r.Warning != "" {
		r.Warning += "; "
	}
	r.Warning += text
}

// treeName is the document in which the site of a manifest is kept: for each
// repository that has it one, since its names come out of layers that another
// need not have.
func (c *contents) treeName(repo string, d digest.Digest) string {
	return fmt.Sprintf("trees/%x", sha256.Sum256([]byte(c.registry.Host()+" "+repo+"@"+d.String())))
}

// keep stores a site's record and tree as one document: the record as a line
// of JSON, then the tree in zstd. Failing to is no harm but the time to do it
// again.
func (l *Loader) keep(repo string, r record, t *tree.Tree) bool {
	head, err := json.Marshal(r)
	if err == nil {
		err = l.store.SaveDocument(l.treeName(repo, r.Digest), squeeze(append(head, '\n'), t.Bytes()))
	}
	if err != nil {
		slog.Warn("tree is not kept", "event", "cache_full", "digest", r.Digest, "err", err)
	}
	return err == nil
}

// Kept is the site of a repository's manifest whose tree was kept, or
// fs.ErrNotExist.
func (l *Loader) Kept(repo string, d digest.Digest) (*Site, error) {
	if l.store == nil {
		return nil, fs.ErrNotExist
	}
	data, err := l.store.LoadDocument(l.treeName(repo, d))
	if err != nil {
		return nil, err
	}
	head, squeezed, ok := bytes.Cut(data, []byte("\n"))
	var r record
	if !ok || json.Unmarshal(head, &r) != nil || r.Version != recordVersion || r.Digest != d {
		return nil, fs.ErrNotExist
	}
	flat, err := unsqueeze(squeezed)
	if err != nil {
		return nil, fs.ErrNotExist
	}
	t, err := tree.Load(flat)
	if err != nil || tooFewLayers(t, len(r.Layers)) {
		return nil, fs.ErrNotExist
	}
	s := newSite(l.contents, repo, r, t)
	s.isKept.Store(true)
	return s, nil
}

func tooFewLayers(t *tree.Tree, layers int) bool {
	n := t.Members()
	return n > 0 && t.Member(uint32(n-1)).Layer >= layers
}
