package bundle

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestRootRelativeURLsAreFound(t *testing.T) {
	for page, want := range map[string]string{
		`<script src="/x.js">`:                       `src=/x.js`,
		`<a href='/'>`:                               `href=/`,
		`<a href=/docs/a.html>`:                      `href=/docs/a.html`,
		`<a class=x HREF = "/x">`:                    `href=/x`,
		"<a\nhref=\n'/x'>":                           `href=/x`,
		`<img alt="a"src="/x.png">`:                  `src=/x.png`,
		`<img srcset="a.png 1x, /b.png 2x">`:         `srcset=/b.png 2x`,
		`<base href="/">`:                            `href=/`,
		`<a href="x/y">`:                             "",
		`<a href="//host/x">`:                        "",
		`<a href="https://host/x">`:                  "",
		`<a href="#/x">`:                             "",
		`<a href="">`:                                "",
		`<a href=>`:                                  "",
		`<img data-src="/x">`:                        "",
		`<img srcset="//host/a.png 1x, b.png 2x">`:   "",
		`src="/x"`:                                   "",
		`<a href="/unfinished`:                       "",
		`<a href=`:                                   "",
		`if (a == "/x") b="/y"`:                      "",
		`<a href="/1"><img src="/2" srcset="/3 2x">`: `href=/1 src=/2 srcset=/3 2x`,
	} {
		var got []string
		findRootRelative([]byte(page), func(_ int, attribute, url string) { got = append(got, attribute+"="+url) })
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, want %q", page, got, want)
		}
	}
}

func TestPagesAreWatchedAsTheyAreRead(t *testing.T) {
	var p pages
	text := "<html>\n<a href=\"/x\">\n\n<img src='/y'><img src='/z'>"
	r := p.watch("docs/index.html", io.NopCloser(strings.NewReader(text)))
	got, err := io.ReadAll(r)
	if err != nil || string(got) != text {
		t.Errorf("got %q, %v, want what is read unchanged", got, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{`docs/index.html:2: href="/x"`, `docs/index.html:4: src="/y"`, `docs/index.html:4: src="/z"`}
	if got := p.rootRelative.shown; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWatchingALargePageKeepsNoMoreThanTheLimit(t *testing.T) {
	var p pages
	r := p.watch("a.html", io.NopCloser(io.LimitReader(zeros{}, 3*maxPage)))
	if n, err := io.Copy(io.Discard, r); n != 3*maxPage || err != nil {
		t.Errorf("got %d bytes, %v, want %d", n, err, 3*maxPage)
	}
	if got := len(r.(*watchedPage).pages.text); got != maxPage {
		t.Errorf("got %d bytes kept, want %d", got, maxPage)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestOnlyTheFirstPlacesAreShown(t *testing.T) {
	var p places
	for i := range maxPlaces + 3 {
		p.add(fmt.Sprint(i))
	}
	lines := p.lines()
	if got, want := len(lines), maxPlaces+1; got != want {
		t.Fatalf("got %d lines, want %d", got, want)
	}
	if got, want := lines[maxPlaces], "and 3 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzFindRootRelative(f *testing.F) {
	f.Add([]byte(`<a href="/x"><img srcset='/a 1x, b 2x' src=/c>`))
	f.Add([]byte(`href= = =="`))
	f.Fuzz(func(t *testing.T, page []byte) {
		findRootRelative(page, func(at int, attribute, url string) {
			if at < 0 || at >= len(page) || page[at] != '=' || !strings.HasPrefix(url, "/") {
				t.Errorf("got %s=%q at %d", attribute, url, at)
			}
			if !bytes.Contains(page[at:], []byte(url)) {
				t.Errorf("got %q, which does not follow %d", url, at)
			}
		})
	})
}
