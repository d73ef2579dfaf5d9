package layer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/regfs/regfs/internal/tree"
)

// rawEntry is a tar entry as bytes, of which anything may be wrong.
type rawEntry struct {
	name, link string
	kind       byte // 0 counts as '0'
	content    string
	size       string // of the header, when it is not that of content
	magic      string // of ustar unless said
	prefix     string
	trailer    string
	pad        byte // between the content and the next block
	oldKind    bool // the kind is a zero byte
}

func (e rawEntry) bytes() []byte {
	h := make([]byte, blockSize)
	copy(h, e.name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	size := e.size
	if size == "" {
		size = fmt.Sprintf("%011o\x00", len(e.content))
	}
	copy(h[124:136], size)
	copy(h[136:], "00000000000\x00")
	h[156] = '0'
	if e.kind != 0 {
		h[156] = e.kind
	}
	if e.oldKind {
		h[156] = 0
	}
	copy(h[157:257], e.link)
	magic := e.magic
	if magic == "" {
		magic = "ustar\x0000"
	}
	copy(h[257:265], magic)
	copy(h[345:500], e.prefix)
	copy(h[508:], e.trailer)
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	body := append(h, e.content...)
	return append(body, bytes.Repeat([]byte{e.pad}, -len(e.content)&(blockSize-1))...)
}

// raw puts entries one after another, with an end marker.
func raw(entries ...rawEntry) []byte {
	var all []byte
	for _, e := range entries {
		all = append(all, e.bytes()...)
	}
	return append(all, make([]byte, 2*blockSize)...)
}

// pax is an extended header with these keys and values.
func pax(kind byte, pairs ...string) rawEntry {
	var text strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		text.WriteString(paxRecord(pairs[i], pairs[i+1]))
	}
	return rawEntry{name: "pax", kind: kind, content: text.String()}
}

func paxRecord(key, value string) string {
	record := " " + key + "=" + value + "\n"
	for n := len(record) + 1; ; n++ {
		if whole := fmt.Sprint(n) + record; len(whole) == n {
			return whole
		}
	}
}

func gnuName(kind byte, name string) rawEntry {
	return rawEntry{name: "././@LongLink", kind: kind, content: name + "\x00", magic: "ustar  \x00"}
}

const gnu = "ustar  \x00"

// binarySize is a size as GNU's dialect writes what is too large for digits.
func binarySize(n int64) string {
	return "\x80\x00\x00\x00" + string(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// readable are archives which all readers read alike, and what they hold.
var readable = map[string]struct {
	archive []byte
	want    string
}{
	"pax path":             {raw(pax('x', "path", "long", "mtime", "1.5"), rawEntry{name: "short", content: "x"}), "long=x"},
	"pax size that agrees": {raw(pax('x', "size", "3"), rawEntry{name: "f", content: "abc"}), "f=abc"},
	"pax linkpath":         {raw(rawEntry{name: "f"}, pax('x', "linkpath", "f"), rawEntry{name: "l", kind: '2', link: "g"}), "f= l -> f"},
	"global comment":       {raw(pax('g', "comment", "0123456789abcdef"), rawEntry{name: "f", content: "x"}), "f=x"},
	"GNU long name":        {raw(gnuName('L', "long"), rawEntry{name: "short", content: "x", magic: gnu}), "long=x"},
	"GNU long link":        {raw(rawEntry{name: "f"}, gnuName('K', "f"), gnuName('L', "l"), rawEntry{name: "s", kind: '2', link: "g", magic: gnu}), "f= l -> f"},
	"prefix":               {raw(rawEntry{name: "f", prefix: "a/b"}), "a/ a/b/ a/b/f="},
	"oldest dialect":       {raw(rawEntry{name: "d/", magic: zeroMagic, oldKind: true}, rawEntry{name: "d/f", magic: zeroMagic, oldKind: true, content: "x"}), "d/ d/f=x"},
	"no end marker":        {rawEntry{name: "f", content: "x"}.bytes(), "f=x"},
	"no padding":           {rawEntry{name: "f", content: "x"}.bytes()[:blockSize+1], "f=x"},
	"half an end marker":   {append(rawEntry{name: "f", content: "x"}.bytes(), make([]byte, blockSize)...), "f=x"},
	"zeros after the end":  {append(raw(rawEntry{name: "f", content: "x"}), make([]byte, 9000)...), "f=x"},
	"a device hides":       {raw(rawEntry{name: "f", kind: '3'}, rawEntry{name: "g"}), "g="},
	"the same file twice":  {raw(rawEntry{name: "f", content: "1"}, rawEntry{name: "./f", content: "2"}), "f=2"},
	"the same folder twice": {raw(rawEntry{name: "d/", kind: '5'}, rawEntry{name: "d/f"}, rawEntry{name: "d//", kind: '5'}),
		"d/ d/f="},
	"a hard link keeps what it named": {raw(rawEntry{name: "f", content: "1"}, rawEntry{name: "h", kind: '1', link: "f"}, rawEntry{name: "f", content: "2"}),
		"f=2 h=1"},
	"a hard link to what comes later": {raw(rawEntry{name: "h", kind: '1', link: "f"}, rawEntry{name: "f", content: "1"}), "f=1 h=1"},
	"a hard link to a link":           {raw(rawEntry{name: "f"}, rawEntry{name: "l", kind: '2', link: "f"}, rawEntry{name: "h", kind: '1', link: "l"}), "f= h -> f l -> f"},
}

const zeroMagic = "\x00\x00\x00\x00\x00\x00\x00\x00"

func TestArchivesThatAllReadAlikeAreRead(t *testing.T) {
	for name, c := range readable {
		b, k := tree.NewBuilder(), kept{}
		if err := Scan(b, 0, int64(len(c.archive)), bytes.NewReader(c.archive), k.keep); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		tr, _, err := b.Freeze(".")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := listing(t, tr, k); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// disputedArchives are archives which some read so and some otherwise, or which none
// should.
var disputedArchives = map[string][]byte{
	"old sparse file":          raw(rawEntry{name: "f", kind: 'S', content: "x", magic: gnu}),
	"pax sparse file 1.0":      raw(pax('x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "f", "GNU.sparse.realsize", "1048576"), rawEntry{name: "g", content: "0\n" + strings.Repeat("\x00", 510)}),
	"pax sparse file 0.1":      raw(pax('x', "GNU.sparse.size", "8192", "GNU.sparse.numblocks", "1", "GNU.sparse.map", "0,1"), rawEntry{name: "g", content: "x"}),
	"sparse file of star":      raw(pax('x', "SCHILY.realsize", "8192"), rawEntry{name: "g", content: "x"}),
	"pax, then GNU":            raw(pax('x', "path", "pax"), gnuName('L', "gnu"), rawEntry{name: "f", content: "x"}),
	"GNU, then pax":            raw(gnuName('L', "gnu"), pax('x', "path", "pax"), rawEntry{name: "f", content: "x"}),
	"two pax headers":          raw(pax('x', "path", "a"), pax('x', "path", "b"), rawEntry{name: "f"}),
	"two GNU names":            raw(gnuName('L', "a"), gnuName('L', "b"), rawEntry{name: "f", magic: gnu}),
	"a key twice":              raw(pax('x', "path", "a", "path", "b"), rawEntry{name: "f"}),
	"an empty path":            raw(pax('x', "path", ""), rawEntry{name: "f"}),
	"an empty long name":       raw(gnuName('L', ""), rawEntry{name: "f", magic: gnu}),
	"size stated twice":        raw(pax('x', "size", "1024"), rawEntry{name: "f", content: strings.Repeat("x", 512)}),
	"smaller size":             raw(pax('x', "size", "0"), rawEntry{name: "f", content: "x"}),
	"negative pax size":        raw(pax('x', "size", "-1"), rawEntry{name: "f", content: "x"}),
	"pax size in hex":          raw(pax('x', "size", "0x1"), rawEntry{name: "f", content: "x"}),
	"global path":              raw(pax('g', "path", "all"), rawEntry{name: "f"}),
	"global size":              raw(pax('g', "size", "1"), rawEntry{name: "f"}),
	"global between":           raw(pax('x', "path", "a"), pax('g', "comment", "c"), rawEntry{name: "f"}),
	"extended at the end":      raw(pax('x', "path", "a")),
	"extended and no end":      pax('x', "path", "a").bytes(),
	"huge extended header":     raw(rawEntry{name: "p", kind: 'x', size: "77777777777\x00"}),
	"empty extended header":    raw(rawEntry{name: "p", kind: 'x'}, rawEntry{name: "f"}),
	"damaged pax record":       raw(rawEntry{name: "p", kind: 'x', content: "99 path=a\n"}, rawEntry{name: "f"}),
	"pax record of no length":  raw(rawEntry{name: "p", kind: 'x', content: "0 path=a\n"}, rawEntry{name: "f"}),
	"pax record with a sign":   raw(rawEntry{name: "p", kind: 'x', content: "+9 path=a\n"}, rawEntry{name: "f"}),
	"hard link with a size":    raw(rawEntry{name: "f"}, rawEntry{name: "h", kind: '1', link: "f", size: "00000001000\x00"}, rawEntry{name: "hidden"}),
	"symbolic link with size":  raw(rawEntry{name: "l", kind: '2', link: "f", size: "00000001000\x00"}, rawEntry{name: "hidden"}),
	"folder with a size":       raw(rawEntry{name: "d/", kind: '5', size: "00000001000\x00"}, rawEntry{name: "hidden"}),
	"device with a size":       raw(rawEntry{name: "n", kind: '3', size: "00000001000\x00"}, rawEntry{name: "hidden"}),
	"pax size on a link":       raw(pax('x', "size", "512"), rawEntry{name: "l", kind: '2', link: "f"}, rawEntry{name: "hidden"}),
	"unknown type":             raw(rawEntry{name: "f", kind: 'Z'}),
	"contiguous file":          raw(rawEntry{name: "f", kind: '7', content: "x"}),
	"GNU volume header":        raw(rawEntry{name: "v", kind: 'V', magic: gnu}),
	"GNU multivolume":          raw(rawEntry{name: "m", kind: 'M', content: "x", magic: gnu}),
	"GNU dumpdir":              raw(rawEntry{name: "d/", kind: 'D', content: "Yf\x00\x00", magic: gnu}),
	"file called a folder":     raw(rawEntry{name: "f/", content: "x"}),
	"star's header":            raw(rawEntry{name: "f", prefix: "p", trailer: "tar\x00"}),
	"unknown magic":            raw(rawEntry{name: "f", magic: "ustar\x0100"}),
	"prefix in GNU's dialect":  raw(rawEntry{name: "f", magic: gnu, prefix: "somewhere"}),
	"small binary size":        raw(rawEntry{name: "f", content: "x", size: binarySize(1)}),
	"negative binary size":     raw(rawEntry{name: "f", content: "x", size: strings.Repeat("\xff", 12)}),
	"huge binary size":         raw(rawEntry{name: "f", size: binarySize(1<<63 - 1)}),
	"size overflows":           raw(rawEntry{name: "f", size: "\x80" + strings.Repeat("\xff", 11)}),
	"blank size":               raw(rawEntry{name: "f", size: strings.Repeat(" ", 12)}),
	"size with a sign":         raw(rawEntry{name: "f", content: "x", size: "-0000000001\x00"}),
	"size with more behind":    raw(rawEntry{name: "f", content: "x", size: "1\x00777777777\x00"}),
	"bytes in the padding":     raw(rawEntry{name: "f", content: "x", pad: 'p'}, rawEntry{name: "g"}),
	"second archive":           append(raw(rawEntry{name: "f"}), raw(rawEntry{name: "hidden"})...),
	"bytes after the end":      append(raw(rawEntry{name: "f"}), "hidden"...),
	"bytes after half an end":  append(append(rawEntry{name: "f"}.bytes(), make([]byte, blockSize)...), rawEntry{name: "hidden"}.bytes()...),
	"wrong checksum":           bytes.Replace(raw(rawEntry{name: "f", content: "x"}), []byte("f\x00"), []byte("g\x00"), 1),
	"cut in a header":          raw(rawEntry{name: "f", content: "x"})[:300],
	"cut in the content":       raw(rawEntry{name: "f", content: strings.Repeat("x", 600)})[:1000],
	"no archive":               bytes.Repeat([]byte("no archive at all "), 100),
	"one byte":                 {1},
	"empty name":               raw(rawEntry{name: "", content: "x"}),
	"root as a file":           raw(rawEntry{name: ".", content: "x"}),
	"name of NAME_MAX and one": raw(pax('x', "path", strings.Repeat("n", 256)), rawEntry{name: "f"}),
	"path of PATH_MAX":         raw(pax('x', "path", strings.Repeat("n/", 2100)+"n"), rawEntry{name: "f"}),
	"three thousand deep":      raw(pax('x', "path", strings.Repeat("d/", 1500)+"f"), rawEntry{name: "f"}),
	"zero byte in a pax path":  raw(pax('x', "path", "a\x00b"), rawEntry{name: "f"}),
	"leads out":                raw(rawEntry{name: "../../etc/passwd", content: "x"}),
	"leads out in the middle":  raw(rawEntry{name: "a/../../b", content: "x"}),
	"comes back":               raw(rawEntry{name: "a/../b", content: "x"}),
	"file, then a child of it": raw(rawEntry{name: "a"}, rawEntry{name: "a/b"}),
	"child, then a file":       raw(rawEntry{name: "a/b"}, rawEntry{name: "a"}),
	"folder, then a file":      raw(rawEntry{name: "a/", kind: '5'}, rawEntry{name: "a"}),
	"file and link":            raw(rawEntry{name: "a"}, rawEntry{name: "./a", kind: '2', link: "b"}),
	"hard link to nothing":     raw(rawEntry{name: "h", kind: '1', link: "nothing"}),
	"hard link to a folder":    raw(rawEntry{name: "d/", kind: '5'}, rawEntry{name: "h", kind: '1', link: "d"}),
	"hard link to itself":      raw(rawEntry{name: "h", kind: '1', link: "h"}),
	"hard links in a circle":   raw(rawEntry{name: "a", kind: '1', link: "b"}, rawEntry{name: "b", kind: '1', link: "a"}),
	"hard link out":            raw(rawEntry{name: "h", kind: '1', link: "../../etc/passwd"}),
	"hard link to no name":     raw(rawEntry{name: "h", kind: '1'}),
	"link to nowhere":          raw(rawEntry{name: "l", kind: '2'}),
	"whiteout of nothing":      raw(rawEntry{name: "d/.wh."}),
}

func TestDisputedArchivesAreRefused(t *testing.T) {
	for name, archive := range disputedArchives {
		for _, format := range []string{"", "gzip", "zstd"} {
			blob := squeeze(t, archive, format)
			err := Scan(tree.NewBuilder(), 0, int64(len(blob)), bytes.NewReader(blob), func(tree.Digest, []byte) {})
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%s (%s): got %v, want %v", name, format, err, ErrFormat)
			}
		}
	}
}

// TestLongChainsOfHardLinksCostNothing: links to links that come later are
// refused before they cost a round each.
func TestLongChainsOfHardLinksCostNothing(t *testing.T) {
	var chain []rawEntry
	for i := range 5_000 {
		chain = append(chain, rawEntry{name: fmt.Sprint(i), kind: '1', link: fmt.Sprint(i + 1)})
	}
	archive := raw(append(chain, rawEntry{name: "5000"})...)
	err := Scan(tree.NewBuilder(), 0, int64(len(archive)), bytes.NewReader(archive), func(tree.Digest, []byte) {})
	if !errors.Is(err, ErrFormat) {
		t.Errorf("got %v, want %v", err, ErrFormat)
	}
}
