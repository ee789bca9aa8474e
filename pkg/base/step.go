package base

// Apply makes a delta true, and durable.
func (b *Base) Apply(d Delta) error {
	if d.Len() > 0 {
		b.exact = ""
	}
	return b.note(d)
}

// note is Apply of what leaves it as it is whose tree the rows are.
func (b *Base) note(d Delta) error {
	if b.Pending != nil {
		if err := b.Load(); err != nil {
			return err
		}
	}
	from := b.journal
	if err := b.append(frame{Kind: "apply", Header: d.Header}, &d); err != nil {
		return err
	}
	return b.advance(d, from)
}

// Prepare makes a delta durable without making it true.
func (b *Base) Prepare(nonce string, d Delta) error {
	from := b.journal
	if err := b.append(frame{Kind: "pending", Nonce: nonce, Header: d.Header}, &d); err != nil {
		return err
	}
	b.Pending, b.pendingFrom = &Pending{Nonce: nonce, Delta: d}, from
	return nil
}

// Resolve makes the pending delta true or drops it, and frees its spool.
func (b *Base) Resolve(committed bool) error {
	if b.Pending == nil {
		return nil
	}
	p := b.Pending
	kind := "abort"
	if committed {
		kind = "commit"
	}
	if err := b.append(frame{Kind: kind, Nonce: p.Nonce}, &Delta{}); err != nil {
		return err
	}
	b.Pending = nil
	defer p.Delta.Spool.Close()
	if !committed {
		return b.compact()
	}
	b.exact = ""
	if err := b.advance(p.Delta, b.pendingFrom); err != nil {
		return err
	}
	if p.Delta.exact != nil && *p.Delta.exact && p.Delta.Header != nil {
		b.exact = p.Delta.Header.Ref
	}
	return nil
}

// advance makes a delta true here. The journal has it already, in what follows
// from; where the rows are unloaded that is enough, unless it is long.
func (b *Base) advance(d Delta, from int64) error {
	if !b.unloaded {
		if err := b.apply(d); err != nil {
			return b.lost(err)
		}
		return b.compact()
	}
	if d.Header != nil {
		b.Header = *d.Header
	}
	if d.Len() > 0 {
		b.counted = d.after
	}
	if b.journal <= longJournal {
		return nil
	}
	return b.save(func() (func() (*Row, error), func(), error) {
		rows, err := b.openRows(from)
		if err != nil {
			return nil, nil, b.lost(err)
		}
		return overlay(rows.next, d.inOrder()), rows.file.close, nil
	})
}

// apply merges a delta into the rows. A change at a path settles what was
// unplaced there.
func (b *Base) apply(d Delta) error {
	if d.Header != nil {
		b.Header = *d.Header
	}
	if d.Len() == 0 {
		return nil
	}
	rows := make([]Row, 0, len(b.Rows())+d.Len())
	rest := b.Rows()
	unplaced := b.Unplaced[:0]
	left := b.Unplaced
	resolve := func(path string) { // what stands before it stays
		n, found := searchChanges(left, path)
		unplaced = append(unplaced, left[:n]...)
		if left = left[n:]; found {
			left = left[1:]
		}
	}
	for next := d.inOrder(); ; {
		c, err := next()
		if err != nil {
			return err
		}
		if c == nil {
			break
		}
		n, found := searchRows(rest, c.Path)
		rows = append(rows, rest[:n]...)
		if rest = rest[n:]; found {
			rest = rest[1:]
		}
		if !c.Gone {
			rows = append(rows, c.Row)
		}
		resolve(c.Path)
	}
	b.rows = append(rows, rest...)
	b.Unplaced = append(unplaced, left...)
	return nil
}

// longJournal is how long the journal of an unloaded base may be: it is read into
// memory with each pass over the rows.
const longJournal = 1 << 20
