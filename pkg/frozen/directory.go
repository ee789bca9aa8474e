package frozen

import "time"

// directory is a frozen directory of a tree.
type directory struct {
	Path
	last   seen      // what it was when its shadow was made; nil: not known
	have   seen      // and of which files the shadow is; nil: not known
	next   time.Time // it is captured again then, or by a walk of the whole tree
	copied seen      // what is in the stage; nil: not known
	plain  bool      // no file shares its blocks with a copy here
	why    error     // why it is not carried as it is now; nil: it is
	since  time.Time // and since when
}
