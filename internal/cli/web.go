package cli

import (
	"errors"
	"net/url"
	"strings"

	"github.com/regfs/regfs/internal/hostname"
)

// DefaultWeb is where nginx/regfs.conf serves.
const DefaultWeb = "http://localhost:8080"

// Web is where a web server serves the mount, as a flag: a URL without a path,
// or "" when nobody knows.
type Web string

// Set reads a flag.
func (w *Web) Set(s string) error {
	s = strings.TrimSuffix(s, "/")
	u, err := url.Parse(s)
	switch {
	case s == "":
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || s != u.Scheme+"://"+u.Host:
		return errors.New("not a URL such as http://localhost:8080, without a path")
	}
	*w = Web(s)
	return nil
}

// String is the URL.
func (w *Web) String() string { return string(*w) }

// Type is how the help calls a value.
func (w *Web) Type() string { return "URL" }

// Addresses are where a version is: on a host of its own, and below its name. "" if
// nobody knows.
func (w Web) Addresses(repo, tag string) (host, path string) {
	scheme, server, ok := strings.Cut(string(w), "://")
	if !ok {
		return "", ""
	}
	return scheme + "://" + hostname.Label(repo, tag) + ".sites." + server + "/", string(w) + "/" + repo + "/" + tag + "/"
}
