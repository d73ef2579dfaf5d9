package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// tarBlock is a header of a tar archive, field by field, and what follows it.
// Anything in it may be wrong.
type tarBlock struct {
	name, link, content string
	kind                byte   // '0' unless said
	size                string // of the content unless said
	magic               string // of POSIX unless said
	prefix, trailer     string
	checksum            string // right unless said
	padding             byte
}

const blockSize = 512

func (b tarBlock) bytes() []byte {
	h := make([]byte, blockSize)
	field := func(at int, value, otherwise string) {
		if value == "" {
			value = otherwise
		}
		copy(h[at:], value)
	}
	field(0, b.name, "")
	field(100, "", "0000644\x000000000\x000000000\x00")
	field(124, b.size, fmt.Sprintf("%011o\x00", len(b.content)))
	field(136, "", "00000000000\x00")
	field(156, string(append([]byte(nil), b.kind)), "0")
	if b.kind == 0 {
		h[156] = '0'
	}
	field(157, b.link, "")
	field(257, b.magic, "ustar\x0000")
	field(345, b.prefix, "")
	field(508, b.trailer, "")
	field(148, "", "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	field(148, b.checksum, fmt.Sprintf("%06o\x00 ", sum))
	all := append(h, b.content...)
	return append(all, bytes.Repeat([]byte{b.padding}, -len(b.content)&(blockSize-1))...)
}

// craft puts blocks one after another, with an end marker.
func craft(blocks ...tarBlock) []byte {
	var all []byte
	for _, b := range blocks {
		all = append(all, b.bytes()...)
	}
	return append(all, make([]byte, 2*blockSize)...)
}

// paxBlock is an extended header; records are pairs of keys and values.
func paxBlock(kind byte, pairs ...string) tarBlock {
	var text strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		rest := " " + pairs[i] + "=" + pairs[i+1] + "\n"
		n := len(rest) + 1
		for len(fmt.Sprint(n))+len(rest) != n {
			n++
		}
		text.WriteString(fmt.Sprint(n) + rest)
	}
	return tarBlock{name: "pax", kind: kind, content: text.String()}
}

func gnuBlock(kind byte, name string) tarBlock {
	return tarBlock{name: "././@LongLink", kind: kind, content: name + "\x00", magic: "ustar  \x00"}
}

// compress packs bytes as gzip or zstd, or not at all.
func compress(t testing.TB, data []byte, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	switch format {
	case "gzip":
		z := gzip.NewWriter(&b)
		_, err := z.Write(data)
		must(t, err)
		must(t, z.Close())
	case "zstd":
		z, err := zstd.NewWriter(&b)
		must(t, err)
		_, err = z.Write(data)
		must(t, err)
		must(t, z.Close())
	default:
		return data
	}
	return b.Bytes()
}
