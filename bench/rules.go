package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// ruledRedirects is how many redirects the site with rules has, half of them
// with a splat, all of which nginx/rules.conf has the daemon compare.
const ruledRedirects = 100

// rules makes R1: what nginx/rules.conf costs, beside the same nginx without it, of
// sites that have no rules, and of those that do, where nginx asks the daemon of
// each request. Nothing is aimed at: it is what the rules are worth.
func (b *bench) rules() error {
	plainSite, err := b.makePages("unruled", nil)
	if err != nil {
		return err
	}
	ruled, err := b.makePages("ruled", someRules())
	if err != nil {
		return err
	}
	d, err := b.mount(b.served.host)
	if err != nil {
		return err
	}
	defer d.stop()
	asking, err := b.nginxWithRules(d.dir, d.listen)
	if err != nil {
		return err
	}
	plain, err := b.nginx(d.dir)
	if err != nil {
		return err
	}
	page := b.docs.nearest(10 << 10)
	for _, r := range []struct{ what, path string }{
		{fmt.Sprintf("warm, one page of %d B of a site without rules, rules.conf beside none", page.size), plainSite.url("page.html")},
		{"its index page", plainSite.url("")},
		{fmt.Sprintf("a page of a site with %d redirects and 5 headers", ruledRedirects), ruled.url("page.html")},
		{"its index page", ruled.url("")},
	} {
		if err := b.askAndNot(asking, plain, r.what, r.path); err != nil {
			return err
		}
	}
	return nil
}

// askAndNot makes one row of R1.
func (b *bench) askAndNot(asking, plain, what, path string) error {
	run := func(server string) func() (float64, error) {
		return func() (float64, error) { return b.wrk(server, 32, []string{path}) }
	}
	for _, server := range []string{asking, plain} { // the page is new to neither
		if _, err := run(server)(); err != nil {
			return err
		}
	}
	p, err := b.alternate(run(asking), run(plain))
	if err != nil {
		return err
	}
	b.table.add(p.row("R1", what, "%.0f/s"))
	return nil
}

// someRules are files with rules, by their names.
func someRules() map[string]string {
	var redirects strings.Builder
	for i := range ruledRedirects / 2 {
		fmt.Fprintf(&redirects, "/old%d /page.html\n/moved%d/* /new/:splat 302\n", i, i)
	}
	headers := "/*\n  X-Frame-Options: DENY\n  Referrer-Policy: no-referrer\n  Content-Security-Policy: default-src 'self'\n" +
		"  Permissions-Policy: camera=()\n/assets/*\n  Cache-Control: max-age=60\n/page*\n  X-Robots-Tag: noindex\n"
	return map[string]string{"_redirects": redirects.String(), "_headers": headers}
}

// makePages publishes a site with two pages and some more files. It is made anew
// for each run: its files are few.
func (b *bench) makePages(name string, more map[string]string) (corpus, error) {
	c := corpus{name: name, root: filepath.Join(b.temp, "corpora")}
	page, err := os.ReadFile(filepath.Join(b.docs.dir(), b.docs.nearest(10<<10).path))
	if err != nil {
		return c, err
	}
	if err := os.MkdirAll(c.dir(), 0o755); err != nil {
		return c, err
	}
	files := map[string]string{"page.html": string(page), "index.html": string(page)}
	maps.Copy(files, more)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(c.dir(), name), []byte(text), 0o644); err != nil {
			return c, err
		}
	}
	return c, b.publish(&c)
}
