package sqlite

import (
	"encoding/binary"
	"errors"
	"testing"
)

func TestCompanion(t *testing.T) {
	for name, want := range map[string]struct {
		database string
		role     Role
	}{
		"a.db-wal":             {"a.db", Log},
		"a.db-journal":         {"a.db", Journal},
		"a.db-shm":             {"a.db", Index},
		"a.db-mj0123459AB":     {"a.db", Super},
		"a.db-mj0123456AB":     {"", ""},
		"a.db-mj0123459abc":    {"", ""},
		"-mj0123459AB":         {"", ""},
		"a.db":                 {"", ""},
		"-wal":                 {"", ""},
		"a.db-wal-journal":     {"a.db-wal", Journal},
		"a.db-wal.bak":         {"", ""},
		"notes about a-wal.md": {"", ""},
	} {
		database, role, ok := Companion(name)
		if database != want.database || role != want.role || ok != (want.role != "") {
			t.Errorf("%s: %q, %q, %v", name, database, role, ok)
		}
	}
}

func TestParseHeader(t *testing.T) {
	good := func(change func(b []byte)) []byte {
		b := make([]byte, headerSize)
		copy(b, magic)
		binary.BigEndian.PutUint16(b[16:], 4096)
		b[18], b[19], b[21], b[22], b[23] = 1, 1, 64, 32, 32
		binary.BigEndian.PutUint32(b[24:], 7)
		binary.BigEndian.PutUint32(b[28:], 3)
		binary.BigEndian.PutUint32(b[92:], 7)
		change(b)
		return b
	}
	for name, tt := range map[string]struct {
		b    []byte
		want Header
		bad  bool
	}{
		"with a journal":      {good(func([]byte) {}), Header{4096, false, 7, 3}, false},
		"with a log":          {good(func(b []byte) { b[18], b[19] = 2, 2 }), Header{4096, true, 7, 3}, false},
		"64 KiB pages":        {good(func(b []byte) { b[16], b[17] = 0, 1 }), Header{65536, false, 7, 3}, false},
		"an old SQLite wrote": {good(func(b []byte) { b[24] = 1 }), Header{4096, false, 1<<24 + 7, 0}, false},
		"page of 1000 bytes":  {good(func(b []byte) { binary.BigEndian.PutUint16(b[16:], 1000) }), Header{}, true},
		"page of 256 bytes":   {good(func(b []byte) { binary.BigEndian.PutUint16(b[16:], 256) }), Header{}, true},
		"a later version":     {good(func(b []byte) { b[19] = 3 }), Header{}, true},
		"other fractions":     {good(func(b []byte) { b[21] = 65 }), Header{}, true},
		"short":               {good(func([]byte) {})[:99], Header{}, true},
		"text":                {[]byte("SQLite format 3 is a format of files, and this is a text that begins with its name and has 100 bytes"), Header{}, true},
	} {
		got, err := ParseHeader(tt.b)
		if got != tt.want || errors.Is(err, ErrMalformed) != tt.bad {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
