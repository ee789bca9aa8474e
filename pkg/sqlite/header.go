package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
)

// ErrMalformed is of a file that says it is SQLite's, and cannot be.
var ErrMalformed = errors.New("it is malformed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// headerSize is what a database begins with.
const headerSize = 100

var magic = []byte("SQLite format 3\x00")

// Header is what the first bytes of a database say of it.
type Header struct {
	PageSize int64
	WAL      bool   // written by way of a write-ahead log
	Changes  uint32 // grows with each transaction that is written without a log
	Pages    uint32 // the size of the database; 0: not told, or by a SQLite too old to keep it
}

// IsDatabase says whether a file that begins so is a database. An empty file is one
// to SQLite, too, and to nobody else.
func IsDatabase(prefix []byte) bool { return bytes.HasPrefix(prefix, magic) }

// ParseHeader reads the first 100 bytes of a database.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < headerSize || !IsDatabase(b) {
		return Header{}, malformed("it does not begin as a database")
	}
	h := Header{PageSize: int64(binary.BigEndian.Uint16(b[16:])), WAL: b[19] == 2, Changes: binary.BigEndian.Uint32(b[24:])}
	if h.PageSize == 1 {
		h.PageSize = 1 << 16
	}
	if !isPageSize(h.PageSize) {
		return Header{}, malformed("a page of %d bytes", h.PageSize)
	}
	if b[18] > 2 || b[19] > 2 || b[18] == 0 || b[19] == 0 {
		return Header{}, malformed("version %d of writers, %d of readers", b[18], b[19])
	}
	if b[21] != 64 || b[22] != 32 || b[23] != 32 {
		return Header{}, malformed("payload fractions %d, %d, %d", b[21], b[22], b[23])
	}
	if binary.BigEndian.Uint32(b[92:]) == h.Changes {
		h.Pages = binary.BigEndian.Uint32(b[28:])
	}
	return h, nil
}

func isPageSize(n int64) bool { return n >= 512 && n <= 1<<16 && n&(n-1) == 0 }

func readHeader(r io.ReaderAt) (Header, error) {
	b := make([]byte, headerSize)
	n, err := r.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return Header{}, err
	}
	return ParseHeader(b[:n])
}

// A Role is what a file is to a database, by the end of its name.
type Role string

const (
	Log     Role = "-wal"     // content: what was committed and is not in the database yet
	Journal Role = "-journal" // content where it is hot: what undoes half a transaction
	Index   Role = "-shm"     // an index of the log, made anew by whoever opens the database first
	Super   Role = "-mj"      // the list of journals of a transaction in several databases
)

var superName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`-mj[0-9A-F]{6}9[0-9A-F]{2}$`) })

// Companion says which database a file belongs to by its name, if that is there. Nothing
// but Log and Journal is ever carried.
func Companion(name string) (database string, role Role, ok bool) {
	for _, role := range []Role{Log, Journal, Index} {
		if database, ok := strings.CutSuffix(name, string(role)); ok && database != "" {
			return database, role, true
		}
	}
	if !strings.Contains(name, string(Super)) {
		return "", "", false
	}
	if at := superName().FindStringIndex(name); at != nil && at[0] > 0 {
		return name[:at[0]], Super, true
	}
	return "", "", false
}
