package layer

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Sizes of the tar format, in bytes.
const (
	blockSize = 512
	// maxExtended bounds an extended header: archive/tar's own bound, which is
	// far above two paths of PATH_MAX and the attributes that one file has.
	maxExtended = 1 << 20
	// firstLarge is from which size on a file's size does not fit the eleven
	// octal digits of its header, so that it has to be written otherwise.
	firstLarge = 8 << 30
)

// strict reads a tar archive along with archive/tar, which reads through it,
// and ends it with an error where it can be read in more than one way. Readers
// differ in what they make of sparse files, of sizes that are stated twice, of
// extended headers of two kinds on one entry, of sizes on links, of unknown
// types and of what follows the end; whoever packs such a thing shows one file
// to one reader and another to the next (CVE-2025-62518 is an example).
// Sources: POSIX pax, GNU tar "Basic Tar Format", archive/tar of Go 1.26.
type strict struct {
	r     io.Reader
	block [blockSize]byte
	n     int   // bytes of block that have come
	data  int64 // bytes of the current entry that are still to come
	pad   int64 // and zeros after them, up to a whole block
	ended bool  // the end marker has begun
	err   error // stays

	extended  byte         // type of the extended header that is being read, or 0
	text      bytes.Buffer // of that header
	pax       map[string]string
	longName  string
	longLink  string
	entry     framed // the last entry whose header was read
	extending bool   // extended headers wait for their entry
}

// framed is what strict makes of an entry's headers.
type framed struct {
	kind         byte // '0' file, '1' hard link, '2' symbolic link, '5' folder, others
	name, target string
	size         int64
}

func (s *strict) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if s.err = s.feed(p[:n]); s.err != nil {
		return 0, s.err
	}
	if err == io.EOF {
		s.err = s.finish()
		return n, s.err
	}
	return n, err
}

// finish tells whether an archive may end here; if so the error is io.EOF. It
// need not have an end marker, nor zeros after its last file: umoci writes
// neither.
func (s *strict) finish() error {
	switch {
	case s.ended && zeros(s.block[:s.n]):
		return io.EOF
	case s.n > 0 || s.data > 0:
		return disputed("the archive is cut off")
	case s.extending:
		return disputed("an extended header without an entry")
	}
	return io.EOF
}

func disputed(format string, args ...any) error {
	return fmt.Errorf("%w: tar: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// feed takes what the archive goes on with.
func (s *strict) feed(p []byte) error {
	for len(p) > 0 {
		var err error
		switch {
		case s.data > 0:
			p, err = s.feedData(p)
		case s.pad > 0:
			p, err = s.feedPadding(p)
		default:
			p, err = s.feedHeader(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *strict) feedData(p []byte) ([]byte, error) {
	n := min(int64(len(p)), s.data)
	if s.extended != 0 {
		s.text.Write(p[:n])
	}
	if s.data -= n; s.data == 0 && s.extended != 0 {
		return p[n:], s.extend()
	}
	return p[n:], nil
}

func (s *strict) feedPadding(p []byte) ([]byte, error) {
	n := min(int64(len(p)), s.pad)
	if !zeros(p[:n]) {
		return nil, disputed("%.200q: bytes between this entry and the next", s.entry.name)
	}
	s.pad -= n
	return p[n:], nil
}

func (s *strict) feedHeader(p []byte) ([]byte, error) {
	n := copy(s.block[s.n:], p)
	if s.n += n; s.n < blockSize {
		return nil, nil
	}
	s.n = 0
	switch {
	case zeros(s.block[:]):
		if s.ended = true; s.extending {
			return nil, disputed("an extended header without an entry")
		}
		return p[n:], nil
	case s.ended:
		return nil, disputed("something follows the end of the archive")
	}
	return p[n:], s.header()
}

func zeros(p []byte) bool {
	for _, c := range p {
		if c != 0 {
			return false
		}
	}
	return true
}

// header takes a header block.
func (s *strict) header() error {
	kind := s.block[156]
	size, err := parseSize(s.block[124:136])
	if err != nil {
		return err
	}
	if strings.IndexByte("xgLK", kind) >= 0 {
		return s.beginExtended(kind, size)
	}
	e := framed{kind: kind, target: cString(s.block[157:257]), size: size}
	if e.name, err = s.name(); err != nil {
		return err
	}
	if err := s.applyExtended(&e); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	s.entry = e
	s.expect(e.size)
	return nil
}

// expect says how many bytes of content come before the next header.
func (s *strict) expect(size int64) {
	s.data, s.pad = size, -size&(blockSize-1)
}

// beginExtended takes the header of an extended header. One of each kind may
// stand before an entry, and those of pax not beside those of GNU: which of two
// counts is every reader's own opinion.
func (s *strict) beginExtended(kind byte, size int64) error {
	switch {
	case size == 0 || size > maxExtended:
		return disputed("an extended header of %d bytes", size)
	case kind == 'x' && s.extending, kind == 'g' && s.extending,
		kind == 'L' && (s.pax != nil || s.longName != ""), kind == 'K' && (s.pax != nil || s.longLink != ""):
		return disputed("two extended headers for one entry")
	}
	s.extended = kind
	s.text.Reset()
	s.expect(size)
	return nil
}

// extend takes an extended header that has been read.
func (s *strict) extend() (err error) {
	kind := s.extended
	s.extended = 0
	s.extending = kind != 'g'
	switch kind {
	case 'L', 'K':
		text := cString(s.text.Bytes())
		if text == "" {
			return disputed("an extended header with an empty name")
		}
		if kind == 'L' {
			s.longName = text
		} else {
			s.longLink = text
		}
	case 'x':
		s.pax, err = parsePAX(s.text.Bytes())
	case 'g':
		var all map[string]string
		if all, err = parsePAX(s.text.Bytes()); len(all) > 0 {
			return disputed("a global header that says what all entries are called or how large they are")
		}
	}
	return err
}

// parsePAX reads the records of an extended header, "LENGTH KEY=VALUE\n", and
// gives those that say what an entry is.
func parsePAX(text []byte) (map[string]string, error) {
	all := map[string]string{}
	for len(text) > 0 {
		var length int
		digits, _, ok := bytes.Cut(text, []byte(" "))
		if !ok || len(digits) > 7 {
			return nil, disputed("a damaged extended header")
		}
		for _, c := range digits {
			if c < '0' || c > '9' {
				return nil, disputed("a damaged extended header")
			}
			length = 10*length + int(c-'0')
		}
		if length > len(text) || length < len(digits)+3 || text[length-1] != '\n' {
			return nil, disputed("a damaged extended header")
		}
		key, value, ok := strings.Cut(string(text[len(digits)+1:length-1]), "=")
		text = text[length:]
		switch {
		case !ok || key == "":
			return nil, disputed("a damaged extended header")
		case strings.HasPrefix(key, "GNU.sparse."), key == "SCHILY.realsize", key == "SUN.holesdata":
			return nil, disputed("a sparse file, which OCI layers cannot hold")
		case key != "path" && key != "linkpath" && key != "size":
			continue
		}
		if _, twice := all[key]; twice || value == "" {
			return nil, disputed("an extended header that says %s twice, or nothing", key)
		}
		all[key] = value
	}
	return all, nil
}

// applyExtended lets the extended headers before an entry have their say.
func (s *strict) applyExtended(e *framed) error {
	if name := s.pax["path"] + s.longName; name != "" {
		e.name = name
	}
	if target := s.pax["linkpath"] + s.longLink; target != "" {
		e.target = target
	}
	if text, ok := s.pax["size"]; ok {
		size, err := parseDecimal(text)
		if err != nil || size != e.size && size < firstLarge {
			return disputed("%.200q: the size is stated twice, as %d and as %.20q", e.name, e.size, text)
		}
		e.size = size
	}
	s.pax, s.longName, s.longLink, s.extending = nil, "", "", false
	return nil
}

// name is the name in a header block, by the dialect that it is written in.
func (s *strict) name() (string, error) {
	name := cString(s.block[:100])
	switch magic := s.block[257:265]; {
	case string(magic[:6]) == "ustar\x00":
		if string(s.block[508:]) == "tar\x00" {
			return "", disputed("%.200q: a header of star, which others read differently", name)
		}
		if prefix := cString(s.block[345:500]); prefix != "" {
			name = prefix + "/" + name
		}
	case string(magic) == "ustar  \x00", zeros(magic):
	default:
		return "", disputed("%.200q: a header of an unknown kind, %q", name, magic)
	}
	return name, nil
}

// check refuses entries of which others say that they are something else.
func (e *framed) check() error {
	slash := strings.HasSuffix(e.name, "/")
	switch e.kind {
	case 0: // a file, or a folder, of the oldest dialect
		if e.kind = '0'; slash {
			e.kind = '5'
		}
	case '0':
		if slash {
			return disputed("%.200q: a file with the name of a folder", e.name)
		}
	case '1', '2', '3', '4', '5', '6':
	case 'S':
		return disputed("%.200q: a sparse file, which OCI layers cannot hold", e.name)
	default:
		return disputed("%.200q: an entry of the unknown type %q", e.name, e.kind)
	}
	if e.kind != '0' && e.size != 0 {
		return disputed("%.200q: no file, and %d bytes of content", e.name, e.size)
	}
	return nil
}

// parseSize reads a header's size: octal digits, or from eight gibibytes on a
// binary number, which GNU's dialect has for what does not fit.
func parseSize(field []byte) (int64, error) {
	if field[0]&0x80 != 0 {
		size := int64(binary.BigEndian.Uint64(field[4:]))
		if field[0] != 0x80 || !zeros(field[1:4]) || size < firstLarge {
			return 0, disputed("a size of % x", field)
		}
		return size, nil
	}
	digits := strings.TrimLeft(strings.TrimRight(string(field), " \x00"), " ")
	var size int64
	for _, c := range []byte(digits) {
		if c < '0' || c > '7' {
			return 0, disputed("a size of %q", field)
		}
		size = 8*size + int64(c-'0')
	}
	if digits == "" {
		return 0, disputed("a size of %q", field)
	}
	return size, nil
}

// parseDecimal reads a size as pax writes it.
func parseDecimal(text string) (int64, error) {
	var size int64
	for _, c := range []byte(text) {
		if c < '0' || c > '9' || len(text) > 18 {
			return 0, disputed("a size of %.20q", text)
		}
		size = 10*size + int64(c-'0')
	}
	return size, nil
}

// agrees tells whether archive/tar made the same of the entry.
func (e *framed) agrees(h *tar.Header) error {
	links := e.kind == '1' || e.kind == '2'
	if h.Typeflag != e.kind || h.Name != e.name || h.Size != e.size || links && h.Linkname != e.target {
		return disputed("%.200q of %d bytes can also be read as %.200q of %d bytes", e.name, e.size, h.Name, h.Size)
	}
	return nil
}

// cString is a field up to its first zero byte.
func cString(field []byte) string {
	if i := bytes.IndexByte(field, 0); i >= 0 {
		field = field[:i]
	}
	return string(field)
}
