package sqlite

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
)

var journalMagic = []byte{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7}

// superPath is the path of the list of journals that a journal says it is of, "" for one
// of its own, and where the journal ends without it.
func superPath(journal *os.File) (path string, end int64, err error) {
	info, err := journal.Stat()
	if err != nil {
		return "", 0, err
	}
	end = info.Size()
	tail := make([]byte, 16) // length and checksum of the path, magic
	if end < int64(len(tail)) {
		return "", end, nil
	}
	if _, err := journal.ReadAt(tail, end-int64(len(tail))); err != nil {
		return "", 0, err
	}
	n := int64(binary.BigEndian.Uint32(tail))
	if !bytes.Equal(tail[8:], journalMagic) || n == 0 || n > 4096 || n+20 > end {
		return "", end, nil
	}
	name := make([]byte, n)
	if _, err := journal.ReadAt(name, end-16-n); err != nil {
		return "", 0, err
	}
	sum := uint32(0)
	for _, c := range name {
		sum += uint32(int8(c)) // SQLite sums the bytes as char, which has a sign here
	}
	unsigned := uint32(0)
	for _, c := range name {
		unsigned += uint32(c)
	}
	if want := binary.BigEndian.Uint32(tail[4:]); sum != want && unsigned != want {
		return "", end, nil
	}
	return string(name), end - 20 - n, nil // the page number before the path, too
}

// hot says whether a journal undoes half a transaction that nobody is about any more, and
// how much of it that takes. Whether somebody is about it the lock says that its writer has.
func hot(journal *os.File) (size int64, err error) {
	head := make([]byte, len(journalMagic))
	if _, err := journal.ReadAt(head, 0); err == io.EOF {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	if !bytes.Equal(head, journalMagic) {
		return 0, nil
	}
	super, end, err := superPath(journal)
	if err != nil || super == "" {
		return end, err
	}
	// The transaction is done in all its databases once the list is gone. The copy has no
	// list: without its path the journal counts there by itself.
	if _, err := os.Lstat(super); os.IsNotExist(err) {
		return 0, nil
	}
	return end, nil
}
