package gitstate

import (
	"bytes"
	"encoding/binary"
)

// sameIndex says whether two indexes stage the same. What they know of the
// files' times and sizes does not count: git status writes that anew, and each
// machine has its own.
func sameIndex(a, b string, width int) bool {
	x, errX := readFile(a, textMost)
	y, errY := readFile(b, textMost)
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

// What an entry of an index has of a file's stat: two times, device and inode before its
// mode; owner and size between mode and object.
const (
	statSize  = 24
	ownerSize = 12
)

// indexEntry is one entry of an index, where it lies in it.
type indexEntry struct {
	fixed []byte // stat, mode, owner, size, object and flags
	name  []byte
}

// eachIn calls do with the entries of an index. It knows versions 2 to 4 that stand alone;
// ok is false for others.
func eachIn(index []byte, width int, do func(indexEntry)) (ok bool) {
	if len(index) < 12+width || string(index[:4]) != "DIRC" {
		return false
	}
	version, count := binary.BigEndian.Uint32(index[4:]), binary.BigEndian.Uint32(index[8:])
	if version < 2 || version > 4 {
		return false
	}
	rest := index[12 : len(index)-width]
	var name []byte
	for range count {
		fixed := statSize + 4 + ownerSize + width + 2
		if len(rest) < fixed+8 {
			return false
		}
		if binary.BigEndian.Uint16(rest[fixed-2:])&moreFlags != 0 {
			fixed += 2
		}
		size := 0
		if name, size, ok = nameIn(rest[fixed:], name, version, fixed); !ok || len(rest) < fixed+size {
			return false
		}
		do(indexEntry{rest[:fixed], name})
		rest = rest[fixed+size:]
	}
	return !bytes.HasPrefix(rest, []byte("link")) // a part of another index
}

// stagedIn gives the entries of an index without the files' stat.
func stagedIn(index []byte, width int) (out []byte, ok bool) {
	ok = eachIn(index, width, func(e indexEntry) {
		out = append(out, e.fixed[statSize:statSize+4]...)
		out = append(out, e.fixed[statSize+4+ownerSize:]...)
		out = append(append(out, e.name...), 0)
	})
	return out, ok
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

// The flags of an entry of an index that tell what its stat is about. See git's
// Documentation/gitformat-index.txt.
const (
	moreFlags    = 0x4000
	valid        = 0x8000 // whoever set it says that the file is not to be looked at
	stage        = 0x3000 // of a merge that is not done
	skipWorkTree = 0x4000 // in the flags that are more
	intentToAdd  = 0x2000
)
