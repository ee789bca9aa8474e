package plan

// Loss is what deletions at once would take from a tree, by numbers of files and links.
// What lives on under another name is not lost.
type Loss struct {
	Files int // that both sides agreed on
	Gone  int // of these, those that would be gone
	// Open and OpenGone are those of them at whose root no name begins with a dot: what
	// `rm -rf *` takes.
	Open, OpenGone int
	Explained      int // of those gone: a person or a whole had a say in them
	Lately         int // that went shortly before: a removal that takes long is seen in steps
	// GivesBack says that one command brings them back from a kept generation, and that
	// the tree is the one that was synced last.
	GivesBack bool
}

// Waits reports whether the deletions wait for a person's word. What was not explained
// does where it is many and nothing gives it back, and where (nearly) all is gone: a tree
// that was wiped, or is not mounted, looks like that.
func (l Loss) Waits() bool {
	files, gone := l.Files-l.Explained, l.Gone-l.Explained
	if l.GivesBack && l.Explained == 0 { // else what went before may be of the same act
		files, gone = files+l.Lately, gone+l.Lately
	}
	switch {
	case !many(files, gone):
		return false
	case !l.GivesBack:
		return true
	}
	return nearlyAll(files, gone) || nearlyAll(l.Open-l.Explained, l.OpenGone-l.Explained)
}

// Many reports whether so many would be gone, explained or not, that a person should know.
func (l Loss) Many() bool { return many(l.Files, l.Gone) }

// many is one side emptied, or more than half and more than ten files.
func many(files, gone int) bool {
	return files >= 2 && gone >= files || gone > 10 && gone > files/2
}

// nearlyAll is nine of ten: what is left of a tree that was wiped are a few dotfiles, or
// what was written since.
func nearlyAll(files, gone int) bool { return files >= 2 && gone*10 >= files*9 }
