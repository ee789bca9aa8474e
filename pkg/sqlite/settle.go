package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
)

// settle brings into a database what its log or its hot journal says, as SQLite does when it
// is opened and closed. It does so to copies of our own alone. To do it again, or with what
// was settled before it, changes nothing.
func settle(db *os.File, log, journal io.ReaderAt) error {
	if journal != nil {
		return undo(db, journal)
	}
	return bringIn(db, log)
}

// bringIn writes the pages of the log's whole transactions.
func bringIn(db *os.File, log io.ReaderAt) error {
	all := func() io.Reader { return io.NewSectionReader(log, 0, math.MaxInt64) }
	var e extent
	h, _, err := walk(all(), math.MaxUint32, func(f frame) error {
		if f.size > 0 {
			e.frames, e.pages = f.number, f.size
		}
		return nil
	})
	if err != nil || e.frames == 0 {
		return err
	}
	if _, _, err := walk(all(), e.frames, func(f frame) error {
		_, err := db.WriteAt(f.content(), int64(f.page-1)*h.pageSize)
		return err
	}); err != nil {
		return err
	}
	return db.Truncate(int64(e.pages) * h.pageSize)
}

// undo writes back what a transaction overwrote that did not end.
func undo(db *os.File, journal io.ReaderAt) error {
	var nonce, before uint32 // the database had so many pages
	var sector, pageSize int64
	for at := int64(0); ; {
		head := make([]byte, 28)
		if _, err := journal.ReadAt(head, at); err != nil {
			return notEnd(err)
		}
		if !bytes.Equal(head[:8], journalMagic) {
			return nil
		}
		records := binary.BigEndian.Uint32(head[8:]) // MaxUint32: to the end
		nonce = binary.BigEndian.Uint32(head[12:])
		if at == 0 {
			before = binary.BigEndian.Uint32(head[16:])
			sector, pageSize = int64(binary.BigEndian.Uint32(head[20:])), int64(binary.BigEndian.Uint32(head[24:]))
			if !isPageSize(pageSize) || sector < 32 || sector > 1<<16 || sector&(sector-1) != 0 {
				return malformed("a journal with pages of %d bytes, sectors of %d", pageSize, sector)
			}
			if err := db.Truncate(int64(before) * pageSize); err != nil {
				return err
			}
		}
		at += sector
		for record := make([]byte, 4+pageSize+4); records > 0; records-- {
			if _, err := journal.ReadAt(record, at); err != nil {
				return notEnd(err)
			}
			at += int64(len(record))
			number, page := int64(binary.BigEndian.Uint32(record)), record[4:4+pageSize]
			if number == 0 || number == lockPage(pageSize) || binary.BigEndian.Uint32(record[4+pageSize:]) != journalSum(nonce, page) {
				return nil // it was not whole when its writer died: its page was not overwritten yet
			}
			if number > int64(before) {
				continue
			}
			if _, err := db.WriteAt(page, (number-1)*pageSize); err != nil {
				return err
			}
		}
		at = (at + sector - 1) &^ (sector - 1)
	}
}

// journalSum is the checksum of a page in a journal: of each two hundredth byte.
func journalSum(nonce uint32, page []byte) uint32 {
	for i := len(page) - 200; i > 0; i -= 200 {
		nonce += uint32(page[i])
	}
	return nonce
}

// settledAs makes a file of a database with its companion settled.
func settledAs(to *os.Root, name string, db, companion *os.File, role Role) error {
	f, err := to.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := db.Stat()
	if err != nil {
		return err
	}
	if err := f.Chmod(info.Mode()); err != nil {
		return err
	}
	if clone(f, db) != nil {
		_, err = io.Copy(f, io.NewSectionReader(db, 0, info.Size()))
	}
	if err != nil {
		return err
	}
	if role == Journal {
		err = settle(f, nil, companion)
	} else {
		err = settle(f, companion, nil)
	}
	return errors.Join(err, f.Sync())
}
