package web

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// rulesTimeout is how long a question may take: longer than a registry needs to
// say what a tag is, and shorter than nginx/rules.conf waits.
const rulesTimeout = 10 * time.Second

// Decision is what a site wants for one request.
type Decision struct {
	// Status is 0 when the file that is there is to be served. Else it is that
	// of a redirect, or 200 or 404 for another page.
	Status   int
	Location string            // of a redirect: printable ASCII
	File     string            // of another page: its path from where the web server's paths begin
	Headers  map[string]string // for the answer, whatever it is: printable ASCII
}

// Decide tells what the site at a path wants; path is decoded, query is not.
// place is where in the mount paths begin: "", or a folder of its own for a site
// that has a host of its own. An error that is fs.ErrNotExist or
// fs.ErrPermission means that the web server will find the same by itself.
type Decide func(ctx context.Context, place, path, query string) (Decision, error)

// Rules answers what nginx/rules.conf asks by auth_request, with the request's
// path in X-Original-URI and the place in X-Regfs-Place: 204 to go on, or 401 to
// do what X-Regfs-Status says, with X-Regfs-Location or X-Regfs-File. Headers
// that the answer should have are there with X-Regfs- before their names. 503
// means that nothing is known now.
func Rules(decide Decide) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, query, ok := splitURI(r.Header.Get("X-Original-URI"))
		if !ok {
			w.WriteHeader(http.StatusNoContent) // nothing of a site is called so
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), rulesTimeout)
		defer cancel()
		d, err := decide(ctx, r.Header.Get("X-Regfs-Place"), name, query)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
			w.WriteHeader(http.StatusNoContent)
		case err != nil:
			slog.Warn("rules", "event", "failed", "path", name, "err", err)
			say(w, http.StatusServiceUnavailable, "it is not known now what the site wants")
		default:
			d.answer(w)
		}
	})
}

// splitURI takes a request's target apart as the web server does, so that what
// one serves the other has rules for: slashes in a row are one, and dots lead
// where they lead in a folder.
func splitURI(uri string) (name, query string, ok bool) {
	uri, _, _ = strings.Cut(uri, "#")
	raw, query, _ := strings.Cut(uri, "?")
	name, err := url.PathUnescape(raw)
	if err != nil || !strings.HasPrefix(name, "/") || strings.Contains(name, "\x00") {
		return "", "", false
	}
	clean := path.Clean(name)
	if last := name[strings.LastIndexByte(name, '/')+1:]; clean != "/" && (last == "" || last == "." || last == "..") {
		clean += "/"
	}
	return clean, query, true
}

func (d Decision) answer(w http.ResponseWriter) {
	h := w.Header()
	for name, value := range d.Headers {
		h.Set("X-Regfs-"+name, value)
	}
	if d.Status == 0 || !isLine(d.File) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h.Set("X-Regfs-Status", strconv.Itoa(d.Status))
	if d.Location != "" {
		h.Set("X-Regfs-Location", d.Location)
	}
	if d.File != "" {
		h.Set("X-Regfs-File", d.File)
	}
	w.WriteHeader(http.StatusUnauthorized) // nginx goes on with 2xx, and hands 401 to error_page
}

// isLine tells whether a header can hold a path.
func isLine(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}
