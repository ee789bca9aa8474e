package sqlite

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/coltec/coltec/pkg/wholefile"
)

// Orphans are the log and the journal beside the name of a database that is not there: SQLite
// would play them into the next one of its name. Another file of such a name is none.
func Orphans(dir *os.Root, name string) (roles []Role, err error) {
	if _, err := dir.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, role := range []Role{Log, Journal} {
		switch is, err := isOf(role, dir, name+string(role)); {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, wholefile.ErrIrregular):
		case err != nil:
			return nil, err
		case is:
			roles = append(roles, role)
		}
	}
	return roles, nil
}

// isOf reports whether a file begins as a log, or a journal, that counts.
func isOf(role Role, dir *os.Root, name string) (bool, error) {
	f, err := open(dir, name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	begin := make([]byte, logHeaderSize)
	n, err := io.ReadFull(f, begin)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	if role == Journal {
		return bytes.HasPrefix(begin[:n], journalMagic), nil
	}
	_, err = parseLogHeader(begin[:n])
	return err == nil, nil
}
