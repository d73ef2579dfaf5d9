package namespace

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regfs/regfs/internal/site"
)

// Explanation is what is known of one path in the mount.
type Explanation struct {
	Path string `json:"path"`
	site.Explanation

	// Of the tag that shows the version that the path is in, if it is in one.
	Name    string        `json:"name,omitempty"`  // the version's folder in the mount
	Index   digest.Digest `json:"index,omitempty"` // what the tag is in the registry
	Checked *time.Time    `json:"checked,omitempty"`
	Problem string        `json:"problem,omitempty"`
}

// What a path can be that is in no version, or missing.
const (
	IsFolder  = "folder of repositories or versions"
	IsUnknown = "unknown" // the registry could not say
)

// Explain tells what is known of a path below the mountpoint. What is not known
// yet is asked of the registry, as a lookup does.
func (l *Live) Explain(ctx context.Context, p string) Explanation {
	x := Explanation{Path: p}
	x.Is = IsFolder
	dir, rest := "", strings.Trim(path.Clean("/"+p), "/")
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		e, err := l.Lookup(ctx, dir, name)
		switch {
		case err != nil:
			x.fail(err)
			return x
		case e.Site != nil:
			x.Explanation = e.Site.Explain(rest)
			x.Name = path.Join(dir, name)
			l.explainTag(&x, dir, name)
			return x
		}
		dir = path.Join(dir, name)
	}
	return x
}

func (x *Explanation) fail(err error) {
	x.Is, x.Reason = IsUnknown, err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		x.Is = site.IsMissing
	}
}

// explainTag adds what is known of the tag that shows a version.
func (l *Live) explainTag(x *Explanation, dir, name string) {
	r := ref{dir, name}
	if i := strings.IndexAny(name, "@:"); i > 0 {
		r = ref{path.Join(dir, name[:i]), name[i+1:]}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tags[r]
	if t == nil {
		return
	}
	status := t.status(r)
	x.Index, x.Checked, x.Problem = status.Digest, status.Checked, status.Problem
}
