package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// ErrFormat means that some bytes are not the flat form of a tree.
var ErrFormat = errors.New("not a tree of this version")

// Load makes a tree of its flat form, which it keeps: data must not be changed
// afterwards. Every number in it is checked, so that no later call can go
// astray; the error is an ErrFormat.
func Load(data []byte) (*Tree, error) {
	t, err := slice(data)
	if err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return t, nil
}

// slice finds the tables in the flat form.
func slice(data []byte) (*Tree, error) {
	if len(data) < headerSize || string(data[:8]) != magic {
		return nil, ErrFormat
	}
	var lengths [4]int
	total := headerSize
	for i, size := range [4]int{nodeSize, chunkSize, memberSize, 1} {
		lengths[i] = int(binary.LittleEndian.Uint32(data[8+4*i:])) * size
		total += lengths[i]
	}
	if total != len(data) {
		return nil, fmt.Errorf("%w: %d bytes, not %d", ErrFormat, len(data), total)
	}
	t := &Tree{data: data}
	rest := data[headerSize:]
	for i, table := range [4]*[]byte{&t.nodes, &t.chunks, &t.members, &t.names} {
		*table, rest = rest[:lengths[i]:lengths[i]], rest[lengths[i]:]
	}
	return t, nil
}

func (t *Tree) check() error {
	if t.Len() == 0 || t.Len() > MaxNodes || t.Kind(Root) != Dir {
		return errors.New("no root")
	}
	if err := t.checkMembers(); err != nil {
		return err
	}
	next := uint32(1) // children are numbered in the order of their folders
	for n := range Node(t.Len()) {
		if err := t.checkNode(n, &next); err != nil {
			return fmt.Errorf("node %d: %w", n, err)
		}
	}
	if int(next) != t.Len() {
		return errors.New("nodes that no folder holds")
	}
	return nil
}

func (t *Tree) checkNode(n Node, next *uint32) error {
	r := t.node(n)
	nameOff, nameLen := binary.LittleEndian.Uint32(r), binary.LittleEndian.Uint16(r[4:])
	if uint64(nameOff)+uint64(nameLen) > uint64(len(t.names)) {
		return errors.New("name out of bounds")
	}
	if n != Root && (!validName(t.Name(n)) || t.Parent(n) >= n) {
		return fmt.Errorf("name %q", t.name(n))
	}
	switch t.Kind(n) {
	case Dir:
		return t.checkDir(n, next)
	case File:
		return t.checkFile(n)
	case Symlink:
		return t.checkLink(n)
	}
	return fmt.Errorf("kind %d", t.Kind(n))
}

// checkLink sees to it that whoever follows the link n stays in the tree.
func (t *Tree) checkLink(n Node) error {
	off, length := t.span(n)
	if uint64(off)+uint64(length) > uint64(len(t.names)) || length == 0 || length > MaxPath {
		return errors.New("link out of bounds")
	}
	rest, at := t.Target(n), t.Parent(n)
	for rest == ".." || strings.HasPrefix(rest, "../") {
		if at == Root {
			return fmt.Errorf("link to %q leads out", t.Target(n))
		}
		at, rest = t.Parent(at), strings.TrimPrefix(rest[2:], "/")
	}
	if rest != "" && !validPath(rest) {
		return fmt.Errorf("link to %q leads out", t.Target(n))
	}
	return nil
}

func (t *Tree) checkDir(n Node, next *uint32) error {
	first, count := t.span(n)
	if first != *next || uint64(first)+uint64(count) > uint64(t.Len()) || (count > 0 && Node(first) <= n) {
		return errors.New("children out of order")
	}
	*next += count
	for c := Node(first); c < Node(first+count); c++ {
		nameOff, nameLen := binary.LittleEndian.Uint32(t.node(c)), binary.LittleEndian.Uint16(t.node(c)[4:])
		if uint64(nameOff)+uint64(nameLen) > uint64(len(t.names)) || t.Parent(c) != n {
			return errors.New("child of another folder")
		}
		if c > Node(first) && string(t.name(c-1)) >= string(t.name(c)) {
			return errors.New("names out of order")
		}
	}
	return nil
}

func (t *Tree) checkFile(n Node) error {
	first, count := t.span(n)
	if uint64(first)+uint64(count) > uint64(len(t.chunks)/chunkSize) {
		return errors.New("chunks out of bounds")
	}
	var size int64
	for i := first; i < first+count; i++ {
		c := t.Chunk(i)
		if c.Offset != size || c.Size <= 0 || c.Size > MaxChunk || int64(c.Member) >= int64(t.Members()) {
			return errors.New("chunks out of order")
		}
		size += c.Size
	}
	if size != t.Size(n) {
		return fmt.Errorf("size %d of chunks of %d bytes", t.Size(n), size)
	}
	return nil
}

func (t *Tree) checkMembers() error {
	chunks := uint64(len(t.chunks) / chunkSize)
	for i := range uint32(t.Members()) {
		m := t.Member(i)
		if uint64(m.First)+uint64(m.Count) > chunks || m.Offset < 0 || m.Size < 0 || m.Offset+m.Size < 0 {
			return fmt.Errorf("member %d out of bounds", i)
		}
		var end int64
		for c := m.First; c < m.First+m.Count; c++ {
			chunk := t.Chunk(c)
			if chunk.Member != i || chunk.Inner < end || chunk.Inner+chunk.Size < end {
				return fmt.Errorf("chunk %d lies in another member or over the one before", c)
			}
			end = chunk.Inner + chunk.Size
		}
		if m.Stored && end > m.Size {
			return fmt.Errorf("member %d has chunks past its end", i)
		}
	}
	return nil
}
