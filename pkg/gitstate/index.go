package gitstate

import (
	"bytes"
	"encoding/binary"
)

// sameIndex says whether two indexes stage the same. What they know of the
// files' times and sizes does not count: git status writes that anew, and each
// machine has its own.
func sameIndex(a, b string, width int) bool {
	x, errX := readFile(a)
	y, errY := readFile(b)
	if errX != nil || errY != nil {
		return false
	}
	if bytes.Equal(x, y) {
		return true
	}
	xs, okX := stagedIn(x, width)
	ys, okY := stagedIn(y, width)
	return okX && okY && bytes.Equal(xs, ys)
}

// statSize is what an entry of an index has of a file's stat before its mode,
// and between mode and object.
const (
	statSize  = 24
	ownerSize = 12
)

// stagedIn gives the entries of an index without the files' stat. It knows
// versions 2 to 4 that stand alone; ok is false for others.
func stagedIn(index []byte, width int) (out []byte, ok bool) {
	if len(index) < 12+width || string(index[:4]) != "DIRC" {
		return nil, false
	}
	version, count := binary.BigEndian.Uint32(index[4:]), binary.BigEndian.Uint32(index[8:])
	if version < 2 || version > 4 {
		return nil, false
	}
	rest := index[12 : len(index)-width]
	var name []byte
	for range count {
		fixed := statSize + 4 + ownerSize + width + 2
		if len(rest) < fixed+8 {
			return nil, false
		}
		flags := binary.BigEndian.Uint16(rest[fixed-2:])
		out = append(out, rest[statSize:statSize+4]...)
		out = append(out, rest[statSize+4+ownerSize:fixed]...)
		if flags&0x4000 != 0 { // more flags
			out = append(out, rest[fixed:fixed+2]...)
			fixed += 2
		}
		size := 0
		if name, size, ok = nameIn(rest[fixed:], name, version, fixed); !ok || len(rest) < fixed+size {
			return nil, false
		}
		out = append(append(out, name...), 0)
		rest = rest[fixed+size:]
	}
	return out, !bytes.HasPrefix(rest, []byte("link")) // a part of another index
}

// nameIn reads the name of an entry, and how many bytes it takes with what fills the
// entry up. In version 4 it says how much of the name before it goes.
func nameIn(rest, before []byte, version uint32, fixed int) (name []byte, size int, ok bool) {
	cut := 0
	if version == 4 {
		var last bool
		for !last {
			if size >= min(len(rest), 4) {
				return nil, 0, false
			}
			b := rest[size]
			if size > 0 {
				cut++
			}
			cut, last = cut<<7|int(b&0x7f), b < 0x80
			size++
		}
	}
	end := bytes.IndexByte(rest[size:], 0)
	if end < 0 || cut > len(before) {
		return nil, 0, false
	}
	if version == 4 {
		return append(bytes.Clone(before[:len(before)-cut]), rest[size:size+end]...), size + end + 1, true
	}
	return rest[:end], (fixed+end+8)&^7 - fixed, true
}
