package gitstate

import (
	"bytes"
	"encoding/binary"
	"os"
)

// sameIndex says whether two indexes stage the same. What they know of the
// files' times and sizes does not count: git status writes that anew, and each
// machine has its own.
func sameIndex(a, b string, width int) bool {
	x, errX := os.ReadFile(a)
	y, errY := os.ReadFile(b)
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
// versions 2 and 3 that stand alone; ok is false for others.
func stagedIn(index []byte, width int) (out []byte, ok bool) {
	if len(index) < 12+width || string(index[:4]) != "DIRC" {
		return nil, false
	}
	version, count := binary.BigEndian.Uint32(index[4:]), binary.BigEndian.Uint32(index[8:])
	if version != 2 && version != 3 {
		return nil, false
	}
	rest := index[12 : len(index)-width]
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
		end := bytes.IndexByte(rest[fixed:], 0)
		if end < 0 {
			return nil, false
		}
		out = append(append(out, rest[fixed:fixed+end]...), 0)
		padded := (fixed + end + 8) &^ 7
		if len(rest) < padded {
			return nil, false
		}
		rest = rest[padded:]
	}
	return out, !bytes.HasPrefix(rest, []byte("link")) // a part of another index
}
