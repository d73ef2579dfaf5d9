package cache

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// A segment is a run of records, each a header and a content:
//
//	magic    "rseg"                                4 bytes
//	length   of the content, little endian         4 bytes
//	key      SHA-256 of the content, or a mark's  32 bytes
//	checksum CRC-32C of all before, little endian  4 bytes
//	content
//
// The checksum only finds where the records end, at a tail that was torn by a
// crash for one; the content answers to its key, with every read. A record of
// length 0 is a mark, whose key is the complement of a SHA-256; see shelf.go.
const (
	recordMagic  = "rseg"
	recordHeader = 4 + 4 + 32 + 4
)

// A segment's index is a file beside it, which spares reading its headers:
//
//	magic    "regfsidx"                                  8 bytes
//	checksum SHA-256 of the name, a zero, the rest      32 bytes
//	end      of the last record, little endian           8 bytes
//	entries  key, offset of the content, its length     40 bytes each
//
// A segment may have grown since: its headers tell what is behind end.
const (
	indexMagic  = "regfsidx"
	indexHeader = len(indexMagic) + 32 + 8
	indexEntry  = 32 + 4 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entry is where in a segment a content is.
type entry struct {
	key          Key
	offset, size uint32 // bytes
}

func (e entry) end() int64 { return int64(e.offset) + int64(e.size) }

// appendRecord appends a record to b, and gives its entry, whose offset is in b.
func appendRecord(b []byte, r freshRecord) ([]byte, usedEntry) {
	header := len(b)
	b = append(b, recordMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.data)))
	b = append(b, r.key[:]...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[header:], castagnoli))
	b = append(b, r.data...)
	return b, usedEntry{entry{r.key, uint32(header + recordHeader), uint32(len(r.data))}, r.used}
}

// parseHeader is the entry of a record at offset at.
func parseHeader(b []byte, at int64) (e entry, ok bool) {
	size := binary.LittleEndian.Uint32(b[4:])
	if string(b[:4]) != recordMagic || size > verifyWhole || crc32.Checksum(b[:40], castagnoli) != binary.LittleEndian.Uint32(b[40:]) {
		return e, false
	}
	return entry{Key(b[8:40]), uint32(at) + recordHeader, size}, true
}

// scan reads the headers between two offsets, and returns the end of the last
// whole record.
func scan(r io.ReaderAt, from, to int64) (entries []entry, end int64) {
	b := make([]byte, recordHeader)
	for from+recordHeader <= to {
		if _, err := r.ReadAt(b, from); err != nil {
			break
		}
		e, ok := parseHeader(b, from)
		if !ok || e.end() > to {
			break
		}
		entries = append(entries, e)
		from = e.end()
	}
	return entries, from
}

// formatIndex is the index file of a segment.
func formatIndex(name string, entries []entry, end int64) []byte {
	b := make([]byte, indexHeader, indexHeader+indexEntry*len(entries))
	binary.LittleEndian.PutUint64(b[indexHeader-8:], uint64(end))
	for _, e := range entries {
		b = append(b, e.key[:]...)
		b = binary.LittleEndian.AppendUint32(b, e.offset)
		b = binary.LittleEndian.AppendUint32(b, e.size)
	}
	copy(b, indexMagic)
	copy(b[len(indexMagic):], documentSum(name, b[indexHeader-8:]))
	return b
}

// parseIndex is what an index file says about a segment of so many bytes.
func parseIndex(name string, b []byte, size int64) (entries []entry, end int64, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte(indexMagic))
	if !ok || len(b) < indexHeader || (len(b)-indexHeader)%indexEntry != 0 {
		return nil, 0, false
	}
	if !bytes.Equal(rest[:32], documentSum(name, rest[32:])) {
		return nil, 0, false
	}
	last := binary.LittleEndian.Uint64(rest[32:])
	if last > uint64(size) {
		return nil, 0, false
	}
	end = int64(last)
	entries = make([]entry, 0, (len(b)-indexHeader)/indexEntry)
	for b := b[indexHeader:]; len(b) > 0; b = b[indexEntry:] {
		e := entry{Key(b[:32]), binary.LittleEndian.Uint32(b[32:]), binary.LittleEndian.Uint32(b[36:])}
		if e.end() > end || e.size > verifyWhole {
			return nil, 0, false
		}
		entries = append(entries, e)
	}
	return entries, end, true
}
