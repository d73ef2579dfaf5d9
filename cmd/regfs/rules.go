package main

import (
	"context"
	"net/url"
	"strings"

	"github.com/regfs/regfs/internal/namespace"
	"github.com/regfs/regfs/internal/rules"
	"github.com/regfs/regfs/internal/site"
	"github.com/regfs/regfs/internal/web"
)

// decide tells a web server what the sites of live want.
func decide(live *namespace.Live) web.Decide {
	return func(ctx context.Context, place, path, query string) (web.Decision, error) {
		s, above, rest, err := live.Find(ctx, place+path)
		if err != nil || !s.HasRules() {
			return web.Decision{}, err
		}
		return wanted(s, strings.TrimPrefix(above, place), rest, query), nil
	}
}

// wanted is what a site wants at a path in it. above is what the web server's
// paths have before that.
func wanted(s *site.Site, above, path, query string) web.Decision {
	d := web.Decision{Headers: s.Rules().Headers(path)}
	o, ok := s.Rules().Redirect(path, query, func() bool { return s.HasPage(path) })
	switch {
	case !ok:
	case !rules.Moves(o.Status):
		// The page itself: folders and clean URLs are settled here.
		if page, ok := s.Page(o.Target); ok {
			d.Status, d.File = o.Status, above+page
		} else {
			d.Status = 404
		}
	case strings.HasPrefix(o.Target, "/"):
		d.Status, d.Location = o.Status, (&url.URL{Path: above}).EscapedPath()+o.Target
	default:
		d.Status, d.Location = o.Status, o.Target
	}
	return d
}
