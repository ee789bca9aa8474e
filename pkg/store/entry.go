package store

import (
	"fmt"
	"strings"

	"github.com/coltec/coltec/pkg/tree"
)

// checkPath refuses what no tree of ours has as a path of that kind.
func checkPath(path string, kind tree.Kind) error {
	if !tree.ValidPath(path) {
		return fmt.Errorf("%s is not a path", short(path))
	}
	top, below, _ := strings.Cut(path, "/")
	if top != Dir {
		return nil
	}
	// What else is there is this machine's own.
	dir, rest, _ := strings.Cut(below, "/")
	if dir != "" && dir != "conflicts" && dir != "git" && dir != "databases" && dir != "frozen" || rest == "" && kind != tree.Dir {
		return fmt.Errorf("%s is a path of coltecd's own", short(path))
	}
	return nil
}

// Capital says of a path of a tree that a file system may take its first name, with
// capitals in it, for that of coltecd's own directory: it is placed nowhere, and not
// carried. Older versions carried it.
func Capital(path string) bool {
	top, _, _ := strings.Cut(path, "/")
	return top != Dir && strings.EqualFold(top, Dir)
}

// checkEntry refuses what no tree has, or what would be content that nobody
// can read again.
func checkEntry(e *tree.Entry) error {
	if err := checkPath(e.Path, e.Kind); err != nil {
		return err
	}
	if e.Mode > 0o7777 && e.Mode != tree.NoMode || len(e.Link) > tree.MaxPath || len(e.Tag) > tree.MaxName {
		return fmt.Errorf("%s has a mode, a target or a tag that nothing has", short(e.Path))
	}
	if e.Kind != tree.File {
		if e.Size < 0 || e.Size > maxNotFile || len(e.Where) > 0 {
			return fmt.Errorf("%s is not a file, and has content", short(e.Path))
		}
		return nil
	}
	size := int64(0)
	for i := range e.Where {
		if err := checkExtent(&e.Where[i]); err != nil {
			return fmt.Errorf("the place named for the content of %s is impossible: %w", short(e.Path), err)
		}
		size += e.Where[i].Size // at most 2^25 of 2^26 bytes
	}
	if size != e.Size {
		return fmt.Errorf("%s has %d bytes and %d are stored", short(e.Path), e.Size, size)
	}
	return nil
}

func checkExtent(x *tree.Extent) error {
	name, ours := strings.CutPrefix(x.Object, "o/")
	switch {
	case !ours || !tree.ValidPath(x.Object) || strings.Contains(name, "/"):
		return fmt.Errorf("%s is not a content object", short(x.Object))
	case x.Offset < 0 || x.Offset > maxObject || x.Stored < 0 || x.Stored > maxExtent || x.Size < 0 || x.Size > maxExtent:
		return fmt.Errorf("at %d, %d bytes of %d", x.Offset, x.Stored, x.Size)
	}
	return nil
}
