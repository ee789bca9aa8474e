package sqlite

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"unicode/utf16"
)

// Tables counts the rows of each table of a database in a directory that nobody uses, with the
// log beside it. Those of SQLite itself, and those that a program answers for, are left out.
// The error is [ErrMalformed] where the pages do not hold together.
func Tables(ctx context.Context, dir *os.Root, name string) (rows map[string]int64, err error) {
	c, done, err := opened(ctx, dir, name)
	if err != nil {
		return nil, err
	}
	defer done()
	rows, err = c.tables()
	if len(c.wrong) > 0 {
		return nil, malformed("%s", c.wrong[0])
	}
	return rows, err
}

func (c *check) tables() (map[string]int64, error) {
	rooted, err := c.schema()
	rows := map[string]int64{}
	for _, o := range rooted {
		table := c.text(o.name)
		if err != nil {
			break
		}
		if c.text(o.kind) == "table" && !strings.HasPrefix(table, "sqlite_") {
			t := walker{check: c, what: fmt.Sprintf("the tree of page %d", o.root)}
			err = t.page(o.root, 0)
			rows[table] = t.count
		}
	}
	return rows, err
}

// text is a text of a record in the encoding that the header says.
func (p *pages) text(raw string) string {
	var order binary.ByteOrder
	switch binary.BigEndian.Uint32(p.first[56:]) {
	case 2:
		order = binary.LittleEndian
	case 3:
		order = binary.BigEndian
	default:
		return strings.ToValidUTF8(raw, "\uFFFD")
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = order.Uint16([]byte(raw[2*i:]))
	}
	return string(utf16.Decode(units))
}
