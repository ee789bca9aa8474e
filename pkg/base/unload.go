package base

// Unload gives the memory of the rows back until the next Load, unless more is to be
// remembered than the disk has: then the base stays loaded. Unloaded it can be read
// in order, and stepped forward.
func (b *Base) Unload() error {
	b.read = nil
	if b.unloaded || b.Pending != nil || len(b.Unplaced) > 0 || b.inode == 0 {
		return nil
	}
	if b.unsaved || b.journal > longJournal {
		if err := b.Save(); err != nil {
			return err
		}
	}
	t := b.Totals()
	b.counted, b.rows, b.unloaded = &t, nil, true
	return nil
}
