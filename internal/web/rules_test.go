package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRulesAnswersAWebServer(t *testing.T) {
	decide := func(_ context.Context, place, path, query string) (Decision, error) {
		switch path {
		case "/site/moved here":
			return Decision{Status: 302, Location: "/site/new?" + query, Headers: map[string]string{"X-Frame-Options": "DENY"}}, nil
		case "/site/app":
			return Decision{Status: 200, File: place + "/site/ü?.html"}, nil
		case "/site/closed":
			return Decision{Status: 404}, nil
		case "/site/odd":
			return Decision{Status: 200, File: "/site/\n"}, nil
		case "/site/none":
			return Decision{}, fmt.Errorf("no such site: %w", fs.ErrNotExist)
		case "/site/denied":
			return Decision{}, fs.ErrPermission
		case "/site/away":
			return Decision{}, errors.New("the registry is away")
		}
		return Decision{Headers: map[string]string{"Link": "</a>; rel=preload"}}, nil
	}
	for _, c := range []struct {
		uri    string
		status int
		want   map[string]string
	}{
		{"/site/moved%20here?x=%20", 401, map[string]string{
			"X-Regfs-Status": "302", "X-Regfs-Location": "/site/new?x=%20", "X-Regfs-X-Frame-Options": "DENY", "X-Regfs-File": ""}},
		{"/site/app", 401, map[string]string{"X-Regfs-Status": "200", "X-Regfs-File": "/at/site/ü?.html", "X-Regfs-Location": ""}},
		{"//site/./x/..%2f/closed", 401, map[string]string{"X-Regfs-Status": "404"}},
		{"/site/closed", 401, map[string]string{"X-Regfs-Status": "404"}},
		{"/site/odd", 204, map[string]string{"X-Regfs-Status": "", "X-Regfs-File": ""}},
		{"/site/file", 204, map[string]string{"X-Regfs-Status": "", "X-Regfs-Link": "</a>; rel=preload"}},
		{"/site/none", 204, nil},
		{"/site/denied", 204, nil},
		{"/site/away", 503, nil},
		{"/site/%zz", 204, nil},
		{"/site/%00", 204, nil},
		{"site", 204, nil},
		{"", 204, nil},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/rules", nil)
		r.Header.Set("X-Original-URI", c.uri)
		r.Header.Set("X-Regfs-Place", "/at")
		w := httptest.NewRecorder()
		Rules(decide).ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%q: got %d, want %d", c.uri, w.Code, c.status)
		}
		for name, want := range c.want {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%q: got %s: %q, want %q", c.uri, name, got, want)
			}
		}
	}
}

func TestPathsAreReadAsNginxReadsThem(t *testing.T) {
	for uri, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a/", "//a///b/": "/a/b/", "/a/./b/.": "/a/b/", "/a/../b": "/b", "/a/..": "/",
		"/a/b/..": "/a/", "/a%2fb": "/a/b", "/a%2F%2e%2E/b": "/b", "/../a": "/a", "/a%3Fb?c": "/a?b", "/a#b": "/a", "/%25": "/%",
	} {
		if got, _, ok := splitURI(uri); !ok || got != want {
			t.Errorf("%s: got %q, want %q", uri, got, want)
		}
	}
}
