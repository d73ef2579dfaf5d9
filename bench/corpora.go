package main

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// corpus is a site to measure with: the folder <name>/v1 below the folder of all
// corpora, which is laid out as the mount is.
type corpus struct {
	name  string
	root  string // the folder of all corpora
	files []file // sorted by path
	layer layer  // where it is published; zero before
}

// file is a file of a corpus.
type file struct {
	path string // below the version
	size int64
}

// dir is the folder of a corpus.
func (c corpus) dir() string { return filepath.Join(c.root, c.name, "v1") }

// nearest is the file whose size is nearest to size.
func (c corpus) nearest(size int64) file {
	return slices.MinFunc(c.files, func(a, b file) int {
		return int(max(a.size, size)-min(a.size, size)) - int(max(b.size, size)-min(b.size, size))
	})
}

// part is a share of the files of a corpus.
type part struct {
	pattern string // of the path: [1] is the number of the file, [2] that of its two hundred
	count   int
	size    int // bytes; each file has half of it to one and a half
	fill    func(r *rand.Rand, size int) []byte
}

// makeDocs makes the site that most rows use, or takes the user's.
func (b *bench) makeDocs() (corpus, error) {
	if b.site != "" {
		return b.copySite()
	}
	n := b.smaller(8000, 2000)
	return b.makeCorpus("docs", []part{
		{"section%[2]d/page%[1]d.html", n * 70 / 100, 11 << 10, prose},
		{"assets/script%[1]d.js", n * 5 / 100, 24 << 10, prose},
		{"assets/style%[1]d.css", n * 25 / 1000, 15 << 10, prose},
		{"images/picture%[1]d.png", n * 225 / 1000, 24 << 10, noise},
		{"images/large%[1]d.png", 2, 1 << 20, noise},
	})
}

func (b *bench) makeSmall() (corpus, error) {
	return b.makeCorpus("small", []part{
		{"page%[1]d.html", 40, 15 << 10, prose},
		{"images/picture%[1]d.png", 20, 20 << 10, noise},
	})
}

func (b *bench) makeBig() (corpus, error) {
	return b.makeCorpus("big", []part{
		{"page%[1]d.html", 2000, 10 << 10, prose},
		{"media/film%[1]d.png", b.smaller(10, 2), 96 << 20, noise},
	})
}

func (b *bench) makeMany() (corpus, error) {
	return b.makeCorpus("many", []part{{"part%[2]d/page%[1]d.html", b.smaller(200_000, 20_000), 300, prose}})
}

// smaller is what to take in this run.
func (b *bench) smaller(full, short int) int {
	if b.short {
		return short
	}
	return full
}

// copySite takes the user's folder, so that it stands where the others do.
func (b *bench) copySite() (corpus, error) {
	c := corpus{name: "site", root: filepath.Join(b.temp, "corpora")}
	if err := os.MkdirAll(filepath.Dir(c.dir()), 0o755); err != nil {
		return c, err
	}
	if out, err := exec.CommandContext(b.ctx, "cp", "-rL", b.site, c.dir()).CombinedOutput(); err != nil {
		return c, fmt.Errorf("%s: %w: %s", b.site, err, out)
	}
	return c, c.list()
}

// makeCorpus writes a corpus, the same in each run, and keeps it for the next.
func (b *bench) makeCorpus(name string, parts []part) (corpus, error) {
	size := "full"
	if b.short {
		size = "short"
	}
	c := corpus{name: name, root: filepath.Join(b.dir, "corpora-"+size)}
	done := filepath.Join(c.root, name, "complete")
	if _, err := os.Stat(done); err == nil {
		return c, c.list()
	}
	if err := os.RemoveAll(c.dir()); err != nil {
		return c, err
	}
	for i, p := range parts {
		if err := p.write(c.dir(), rand.New(rand.NewPCG(1, uint64(i)))); err != nil {
			return c, err
		}
	}
	if err := os.WriteFile(done, nil, 0o644); err != nil {
		return c, err
	}
	return c, c.list()
}

// write writes the files of p.
func (p part) write(dir string, r *rand.Rand) error {
	for i := range p.count {
		name := fmt.Sprintf(p.pattern, i, i/200)
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, p.fill(r, p.size/2+r.IntN(p.size+1)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// list finds the files of a corpus.
func (c *corpus) list() error {
	return filepath.WalkDir(c.dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(c.dir(), path)
		c.files = append(c.files, file{name, info.Size()})
		return err
	})
}

// bytes is the size of all files.
func (c corpus) bytes() (sum int64) {
	for _, f := range c.files {
		sum += f.size
	}
	return sum
}

// prose is text that compresses as pages and scripts do, to about a third:
// words of unlike frequency between tags.
func prose(r *rand.Rand, size int) []byte {
	var text bytes.Buffer
	text.Grow(size + 100)
	for text.Len() < size {
		word := uint32(r.ExpFloat64() * 400)
		fmt.Fprintf(&text, "%s ", strings.Repeat("lorem"[word%5:][:1], int(word%3))+fmt.Sprintf("%x", word*2654435761>>12))
		if word%40 == 0 {
			text.WriteString("</p>\n<p class=\"text\">")
		}
	}
	return text.Bytes()[:size]
}

// script is a script that says nothing, and styles are styles that nothing has.
func script(r *rand.Rand, size int) []byte { return commented(prose(r, size)) }
func styles(r *rand.Rand, size int) []byte { return commented(prose(r, size)) }

// commented makes a comment of a text that has none.
func commented(text []byte) []byte { return fmt.Appendf(nil, "/* %s */", text) }

// noise is an image that does not compress.
func noise(r *rand.Rand, size int) []byte {
	const width = 64
	img := image.NewNRGBA(image.Rect(0, 0, width, max(1, size/(4*width))))
	random := rand.NewChaCha8([32]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
	_, _ = random.Read(img.Pix) // never fails
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.NoCompression}
	_ = encoder.Encode(&out, img) // a buffer takes all
	return out.Bytes()
}
