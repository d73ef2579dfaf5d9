package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ruledRedirects is how many redirects the site with rules has, half of them
// with a splat, all of which nginx/rules.conf has the daemon compare.
const ruledRedirects = 100

// rules makes R1: what it costs that nginx asks the daemon of each request, by
// nginx/rules.conf, beside the same nginx that does not. Nothing is aimed at: it
// is what the rules are worth.
func (b *bench) rules() error {
	ruled, err := b.makeRuled()
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
		{fmt.Sprintf("warm, one page of %d B of a site without rules, rules.conf beside none", page.size), b.docs.url(page.path)},
		{fmt.Sprintf("the same of a site with %d redirects and 5 headers", ruledRedirects), ruled.url("page.html")},
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

// makeRuled publishes a site with rules. It is made anew for each run: its files
// are few.
func (b *bench) makeRuled() (corpus, error) {
	c := corpus{name: "ruled", root: filepath.Join(b.temp, "corpora")}
	page, err := os.ReadFile(filepath.Join(b.docs.dir(), b.docs.nearest(10<<10).path))
	if err != nil {
		return c, err
	}
	if err := os.MkdirAll(c.dir(), 0o755); err != nil {
		return c, err
	}
	var redirects strings.Builder
	for i := range ruledRedirects / 2 {
		fmt.Fprintf(&redirects, "/old%d /page.html\n/moved%d/* /new/:splat 302\n", i, i)
	}
	headers := "/*\n  X-Frame-Options: DENY\n  Referrer-Policy: no-referrer\n  Content-Security-Policy: default-src 'self'\n" +
		"  Permissions-Policy: camera=()\n/assets/*\n  Cache-Control: max-age=60\n/page*\n  X-Robots-Tag: noindex\n"
	for name, text := range map[string]string{
		"page.html": string(page), "index.html": string(page), "_redirects": redirects.String(), "_headers": headers,
	} {
		if err := os.WriteFile(filepath.Join(c.dir(), name), []byte(text), 0o644); err != nil {
			return c, err
		}
	}
	return c, b.publish(&c)
}
