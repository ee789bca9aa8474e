package sqlite

import (
	"encoding/binary"
	"math"
	"slices"
)

// kinds of pages of trees, by their first byte.
const (
	innerIndex = 2
	innerTable = 5
	leafIndex  = 10
	leafTable  = 13
)

// depthMost is deeper than any tree that SQLite makes.
const depthMost = 40

// walker looks at one tree.
type walker struct {
	*check
	what   string
	table  bool // of rows by number; else of an index
	depth  int  // of its leaves; 0: none was met
	rowid  int64
	rows   bool                          // rowid is of one that was met
	count  int64                         // of rows, or of entries of an index, that were met
	record func(payload []byte, n int64) // each row of a table, as far as it was read, and its length; may be nil
}

// page looks at a page of the tree, and at all below it.
func (t *walker) page(n uint32, depth int) error {
	b, err := t.take(n, t.what)
	if b == nil || err != nil {
		return err
	}
	p := node{n: n, body: b[:t.usable]}
	if n == 1 {
		p.head = headerSize
	}
	kind := p.body[p.head]
	if depth == 0 {
		t.table = kind == innerTable || kind == leafTable
	}
	switch {
	case kind != innerIndex && kind != innerTable && kind != leafIndex && kind != leafTable:
		return t.say("page %d of %s has the kind %d", n, t.what, kind)
	case t.table != (kind == innerTable || kind == leafTable):
		return t.say("page %d of %s is of a tree of another kind", n, t.what)
	case depth > depthMost:
		return t.say("%s is too deep", t.what)
	}
	p.inner = kind == innerIndex || kind == innerTable
	if p.inner {
		return t.inner(&p, depth)
	}
	if t.depth == 0 {
		t.depth = depth + 1
	}
	if t.depth != depth+1 {
		return t.say("page %d of %s is %d levels down, others are %d", n, t.what, depth, t.depth-1)
	}
	return t.cells(&p, func(c cell) error { return t.leaf(&p, c) })
}

// inner goes through the children of a page in order.
func (t *walker) inner(p *node, depth int) error {
	err := t.cells(p, func(c cell) error {
		if err := t.page(c.child, depth+1); err != nil {
			return err
		}
		if t.table && t.rows && t.rowid > c.rowid {
			return t.say("row %d is left of %d in page %d of %s", t.rowid, c.rowid, p.n, t.what)
		}
		if !t.table {
			t.count++ // what divides an index is an entry
		}
		return t.overflow(p, c, nil)
	})
	if err != nil {
		return err
	}
	return t.page(binary.BigEndian.Uint32(p.body[p.head+8:]), depth+1)
}

// leaf looks at one cell of a leaf.
func (t *walker) leaf(p *node, c cell) error {
	t.count++
	if t.table {
		if t.rows && c.rowid <= t.rowid {
			return t.say("row %d follows %d in page %d of %s", c.rowid, t.rowid, p.n, t.what)
		}
		t.rowid, t.rows = c.rowid, true
	}
	if t.record == nil {
		return t.overflow(p, c, nil)
	}
	body := slices.Clone(c.local)
	err := t.overflow(p, c, &body)
	t.record(body, c.length)
	return err
}

// schemaMost is how much of a row of the schema is read: what it is of, and where, comes first.
const schemaMost = 64 << 10

// overflow follows what of a cell lies in pages of its own. body, if any, gets some of that.
func (t *walker) overflow(p *node, c cell, body *[]byte) error {
	left := c.length - int64(len(c.local))
	for next := c.next; left > 0; {
		b, err := t.take(next, t.what)
		if b == nil || err != nil {
			return err
		}
		n := min(left, int64(t.usable-4))
		if body != nil && len(*body) < schemaMost {
			*body = append(*body, b[4:4+n]...)
		}
		left -= n
		if next = binary.BigEndian.Uint32(b); left == 0 && next != 0 {
			return t.say("what page %d of %s goes on with does not end", p.n, t.what)
		}
	}
	return nil
}

// node is a page of a tree.
type node struct {
	n     uint32
	body  []byte // what is for content
	head  int    // where its header begins
	inner bool
}

// cell is one of a page.
type cell struct {
	child  uint32 // what is left of it
	rowid  int64
	length int64 // of its payload
	local  []byte
	next   uint32 // page with what of the payload is not here
	size   int    // in the page
}

// cells visits those of a page in order, and holds that they have each its own bytes of it.
func (t *walker) cells(p *node, visit func(cell) error) error {
	first := p.head + 8
	if p.inner {
		first += 4
	}
	count := int(binary.BigEndian.Uint16(p.body[p.head+3:]))
	content := int(binary.BigEndian.Uint16(p.body[p.head+5:]))
	if content == 0 {
		content = 1 << 16
	}
	if first+2*count > content || content > len(p.body) {
		return t.say("page %d of %s has %d cells, from byte %d on", p.n, t.what, count, content)
	}
	var taken [][2]int
	for i := range count {
		at := int(binary.BigEndian.Uint16(p.body[first+2*i:]))
		if at < content || at >= len(p.body) {
			return t.say("cell %d of page %d of %s is at byte %d", i, p.n, t.what, at)
		}
		c, ok := t.cell(p, at)
		if !ok {
			return t.say("cell %d of page %d of %s is longer than the page", i, p.n, t.what)
		}
		taken = append(taken, [2]int{at, at + c.size})
		if err := visit(c); err != nil {
			return err
		}
	}
	return t.space(p, content, taken)
}

// space holds that each byte of a page is of one cell, free, or counted as a remainder.
func (t *walker) space(p *node, content int, taken [][2]int) error {
	for at, last := int(binary.BigEndian.Uint16(p.body[p.head+1:])), 0; at != 0; {
		if at < content || at <= last || at > len(p.body)-4 {
			return t.say("page %d of %s has a free block at byte %d", p.n, t.what, at)
		}
		taken = append(taken, [2]int{at, at + int(binary.BigEndian.Uint16(p.body[at+2:]))})
		at, last = int(binary.BigEndian.Uint16(p.body[at:])), at
	}
	slices.SortFunc(taken, func(a, b [2]int) int { return a[0] - b[0] })
	end, left := content, 0
	for _, x := range taken {
		if x[0] < end || x[1] > len(p.body) {
			return t.say("byte %d of page %d of %s is used twice", x[0], p.n, t.what)
		}
		left += x[0] - end
		end = x[1]
	}
	if left += len(p.body) - end; left != int(p.body[p.head+7]) {
		return t.say("page %d of %s has %d bytes that nothing uses, and says %d", p.n, t.what, left, p.body[p.head+7])
	}
	return nil
}

// cell reads the cell at a byte of a page; ok is false for one that the page is too short for.
func (t *walker) cell(p *node, at int) (c cell, ok bool) {
	b := p.body[at:]
	whole := len(b)
	if p.inner {
		if len(b) < 4 {
			return c, false
		}
		c.child, b = binary.BigEndian.Uint32(b), b[4:]
	}
	if !(p.inner && t.table) {
		n, rest := varint(b)
		if rest == nil || n > math.MaxInt32 {
			return c, false
		}
		c.length, b = int64(n), rest
	}
	if t.table {
		n, rest := varint(b)
		if rest == nil {
			return c, false
		}
		c.rowid, b = int64(n), rest
	}
	local := t.local(c.length)
	if int64(len(b)) < local {
		return c, false
	}
	c.local, b = b[:local], b[local:]
	if c.length > local {
		if len(b) < 4 {
			return c, false
		}
		c.next, b = binary.BigEndian.Uint32(b), b[4:]
	}
	c.size = max(whole-len(b), 4)
	return c, at+c.size <= len(p.body)
}

// local is how much of a payload is in its page.
func (t *walker) local(length int64) int64 {
	u := int64(t.usable)
	most := (u-12)*64/255 - 23
	if t.table {
		most = u - 35
	}
	if length <= most {
		return length
	}
	least := (u-12)*32/255 - 23
	if n := least + (length-least)%(u-4); n <= most {
		return n
	}
	return least
}

// varint reads a number of one to nine bytes, and gives what follows; nil: it is cut off.
func varint(b []byte) (n uint64, rest []byte) {
	for i, c := range b {
		if i == 8 {
			return n<<8 | uint64(c), b[9:]
		}
		if n = n<<7 | uint64(c&0x7f); c&0x80 == 0 {
			return n, b[i+1:]
		}
	}
	return 0, nil
}

// object is a table, an index, a view or a trigger, as a row of the schema has it.
type object struct {
	kind, name string // in the encoding of the database
	root       uint32 // the first page of its tree; 0: it has none
}

// schema looks at the tree that names all others, and gives what has one.
func (c *check) schema() (rooted []object, err error) {
	t := walker{check: c, what: "the schema"}
	var odd bool
	t.record = func(body []byte, length int64) {
		o, ok := objectOf(body)
		odd = odd || !ok
		if o.root != 0 {
			rooted = append(rooted, o)
		}
	}
	err = t.page(1, 0)
	if err == nil && odd {
		err = c.say("a row of the schema says not what it is of")
	}
	return rooted, err
}

// objectOf reads a row of the schema. Its columns are type, name, tbl_name, rootpage, sql.
func objectOf(body []byte) (o object, ok bool) {
	size, rest := varint(body)
	if rest == nil || size > uint64(len(body)) || size < uint64(len(body)-len(rest)) {
		return o, false
	}
	kinds, values := body[len(body)-len(rest):size], body[size:]
	for column := range 4 {
		var kind uint64
		if kind, kinds = varint(kinds); kinds == nil {
			return object{}, false
		}
		n := widthOf(kind)
		if n > uint64(len(values)) {
			return object{}, false
		}
		switch column {
		case 0:
			o.kind = string(values[:n])
		case 1:
			o.name = string(values[:n])
		case 3:
			o.root, ok = numberOf(kind, values[:n])
		}
		values = values[n:]
	}
	return o, ok
}

// widthOf is how many bytes a value of a kind has.
func widthOf(kind uint64) uint64 {
	switch {
	case kind >= 12:
		return (kind - 12) / 2
	case kind <= 4:
		return kind
	case kind == 5:
		return 6
	case kind <= 7:
		return 8
	}
	return 0
}

// numberOf is the number of a page that a value is; none is 0.
func numberOf(kind uint64, value []byte) (uint32, bool) {
	switch {
	case kind == 0, kind == 8: // NULL, 0
		return 0, true
	case kind == 9:
		return 1, true
	case kind > 6:
		return 0, false
	}
	var n uint64
	for _, c := range value {
		n = n<<8 | uint64(c)
	}
	return uint32(n), n <= math.MaxUint32
}
