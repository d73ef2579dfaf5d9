package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// pageAssets is how many scripts, styles and images of each kind the page has.
const pageAssets = 10

// browsing makes C5: a page with thirty assets in a browser, from a mount with an
// empty cache whose registry is far away, beside the same page from a local
// folder and an nginx that is as far away.
func (b *bench) browsing() error {
	const delay = 50 * time.Millisecond
	gallery, err := b.makeGallery()
	if err != nil {
		return err
	}
	if err := b.publish(&gallery); err != nil {
		return err
	}
	host, err := b.delayed(b.served.host, delay)
	if err != nil {
		return err
	}
	near, err := b.nginx(gallery.root)
	if err != nil {
		return err
	}
	far, err := b.delayed(strings.TrimPrefix(near, "http://"), delay)
	if err != nil {
		return err
	}
	p, err := b.alternate(
		func() (took float64, err error) {
			d, err := b.mount(host)
			if err != nil {
				return 0, err
			}
			defer d.stop()
			server, err := b.nginx(d.dir)
			if err != nil {
				return 0, err
			}
			return b.browse(server + gallery.url("index.html"))
		},
		func() (float64, error) { return b.browse("http://" + far + gallery.url("index.html")) })
	if err == nil {
		b.table.duration("C5", fmt.Sprintf("cold, a page with %d assets in chromium, registry %v away, beside nginx on ext4 %v away", 3*pageAssets, delay, delay), p, 2, "until the load event")
	}
	return err
}

// loadedMark is what the page writes into itself: how long loading took.
const loadedMark = "loaded-after-ms:"

// browse opens a page in a fresh browser and gives the seconds until it was
// loaded, as the page itself saw them.
func (b *bench) browse(url string) (float64, error) {
	profile, err := os.MkdirTemp(b.temp, "chromium")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(profile)
	dom, err := b.command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--user-data-dir="+profile, "--timeout=20000", "--dump-dom", url)
	if err != nil {
		return 0, err
	}
	_, after, found := strings.Cut(dom, loadedMark)
	if !found {
		return 0, fmt.Errorf("chromium: the page was not loaded: %.200s", dom)
	}
	number, _, _ := strings.Cut(after, "<")
	ms, err := strconv.ParseFloat(number, 64)
	return ms / 1000, err
}

// makeGallery makes a page with its assets among others that it does not use.
func (b *bench) makeGallery() (corpus, error) {
	c, err := b.makeCorpus("gallery", []part{
		{"css/style%[1]d.css", pageAssets, 15 << 10, styles},
		{"js/script%[1]d.js", pageAssets, 24 << 10, script},
		{"img/picture%[1]d.png", pageAssets, 24 << 10, noise},
		{"more/picture%[1]d.png", 1000, 24 << 10, noise},
	})
	if err != nil {
		return c, err
	}
	var page strings.Builder
	page.WriteString("<!doctype html><title>gallery</title>\n")
	for i := range pageAssets {
		fmt.Fprintf(&page, "<link rel=\"stylesheet\" href=\"css/style%d.css\">\n", i)
	}
	for i := range pageAssets {
		fmt.Fprintf(&page, "<script src=\"js/script%d.js\"></script>\n<img src=\"img/picture%d.png\" alt=\"\">\n", i, i)
	}
	fmt.Fprintf(&page, "<p id=\"took\"></p><script>addEventListener('load', () => { document.getElementById('took').textContent = '%s' + performance.now() })</script>\n", loadedMark)
	path := filepath.Join(c.dir(), "index.html")
	if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
		return c, err
	}
	c.files = nil
	return c, c.list()
}
