package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	// pageSize is asked for: docker-registry refuses more, others give less.
	pageSize = "1000"
	// maxPages and maxNames bound listings; a page that names itself as the
	// next would otherwise be read for ever.
	maxPages = 1000
	maxNames = 100_000
	// maxPage is the size of one answer in bytes. 1000 of the longest names
	// take 260 KB, but some registries know no pages.
	maxPage = 8 << 20
)

// Repositories lists what the registry's catalog names, sorted. The catalog is
// not in the distribution spec and many registries refuse it. Names outside of
// the spec's grammar are left out, and at most 100,000 are returned. whole tells
// whether it was read to its end: only then does it say of a name that there is none.
//
// Errors:
//   - fs.ErrPermission when the registry refuses (401, 403).
//   - fs.ErrNotExist when it has no catalog (404).
//   - ErrUnavailable otherwise.
func (c *Client) Repositories(ctx context.Context) (names []string, whole bool, err error) {
	r := request{path: "_catalog", what: "the list of repositories"}
	isList := true
	whole, err = c.pages(ctx, r, maxPages, func(data []byte) (int, error) {
		var page struct{ Repositories json.RawMessage } // null if there are none, says ggcr's
		if err := json.Unmarshal(data, &page); err != nil || page.Repositories == nil {
			isList = false
			return len(names), err
		}
		var more []string
		err := json.Unmarshal(page.Repositories, &more)
		names = append(names, more...)
		return len(names), err
	})
	return listing(names, ValidRepository), whole && isList, err
}

// Tags lists the tags of a repository, sorted. Tags outside of the spec's
// grammar are left out, and at most 100,000 are returned.
//
// Errors:
//   - fs.ErrNotExist when the registry has no such repository, or repo is not a
//     valid name (nothing is sent then).
//   - fs.ErrPermission on 401 and 403.
//   - ErrUnavailable otherwise.
func (c *Client) Tags(ctx context.Context, repo string) ([]string, error) {
	tags, _, err := c.FirstTags(ctx, repo, maxPages)
	return tags, err
}

// FirstTags lists the tags in the first pages of a repository's list, in so many
// requests at most. whole tells whether these are all. Its errors are those of Tags.
func (c *Client) FirstTags(ctx context.Context, repo string, pages int) (tags []string, whole bool, err error) {
	if err := checkRepository(repo); err != nil {
		return nil, false, err
	}
	isList := true
	whole, err = c.pages(ctx, tagsOf(repo), pages, func(data []byte) (int, error) {
		var page tagPage
		err := json.Unmarshal(data, &page)
		tags, isList = append(tags, page.Tags...), isList && page.isList()
		return len(tags), err
	})
	return listing(tags, ValidTag), whole && isList, err
}

// HasRepository reports whether the registry knows the repository. That it is
// not known is no error; else the errors are those of Tags.
func (c *Client) HasRepository(ctx context.Context, repo string) (bool, error) {
	if !ValidRepository(repo) {
		return false, nil
	}
	r := tagsOf(repo)
	r.method, r.query = http.MethodGet, "n=1"
	res, err := c.do(ctx, &r)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	data, err := readAll(res.Body, maxPage, c.what(&r))
	if err != nil {
		return false, err
	}
	// Whatever answers in a registry's place, a page to log in say, would make
	// a repository of every name.
	var page tagPage
	if err := json.Unmarshal(data, &page); err != nil || !page.isList() {
		return false, c.nonsense(c.what(&r), "the answer is not a list of tags")
	}
	return true, nil
}

// tagPage is a page of a list of tags.
type tagPage struct {
	Name string
	Tags []string
}

// isList tells whether it is one, and not something else in JSON.
func (p tagPage) isList() bool { return p.Name != "" || p.Tags != nil }

func tagsOf(repo string) request {
	return request{path: repo + "/tags/list", scope: scope{repository: repo}, what: "the tags of " + repo}
}

// pages reads r and the pages that follow it, at most some, and tells whether it came
// to the end. add takes one and returns how many names there are by now.
func (c *Client) pages(ctx context.Context, r request, most int, add func([]byte) (int, error)) (whole bool, err error) {
	r.method, r.query = http.MethodGet, "n="+pageSize
	seen := map[string]bool{}
	for range most {
		next, last, err := c.page(ctx, &r, add)
		if err != nil || next == nil || seen[next.String()] {
			return last, err
		}
		seen[next.String()] = true
		r.url = next
	}
	return false, nil
}

// page reads one page and returns where the next is, nil if it is the last one or
// nothing more is read.
func (c *Client) page(ctx context.Context, r *request, add func([]byte) (int, error)) (next *url.URL, last bool, err error) {
	res, err := c.do(ctx, r)
	if err != nil {
		return nil, false, err
	}
	defer res.Body.Close()
	data, err := readAll(res.Body, maxPage, c.what(r))
	if err != nil {
		return nil, false, err
	}
	n, err := add(data)
	if err != nil {
		return nil, false, c.nonsense(c.what(r), "the answer is not a list: %v", err)
	}
	next, last = c.nextPage(res)
	if n >= maxNames {
		return nil, last && n == maxNames, nil
	}
	return next, last, nil
}

// nextPage is the target of the Link header with rel="next", and whether there is no
// such header. One that leaves the list which was asked for leads nowhere.
func (c *Client) nextPage(res *http.Response) (next *url.URL, last bool) {
	last = true
	for _, link := range strings.Split(strings.Join(res.Header.Values("Link"), ","), ",") {
		target, params, _ := strings.Cut(strings.TrimSpace(link), ">")
		target, ok := strings.CutPrefix(target, "<")
		if !ok || !strings.Contains(strings.ReplaceAll(params, `"`, ""), "rel=next") {
			continue
		}
		last = false
		u, err := res.Request.URL.Parse(target)
		if err == nil && c.speaks(u) && u.Path == res.Request.URL.Path && u.RawQuery != res.Request.URL.RawQuery {
			u.Scheme, u.Host, u.User, u.Fragment = c.scheme, c.name, nil, "" // behind proxies registries do not know their scheme
			return u, false
		}
	}
	return nil, last
}

func listing(names []string, valid func(string) bool) []string {
	names = slices.DeleteFunc(names, func(s string) bool { return !valid(s) })
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), maxNames)]
}

// readAll reads a body that has at most limit bytes.
func readAll(body io.Reader, limit int64, what string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, nonsense(what, "the answer is longer than %d bytes", limit)
	}
	return data, nil
}
