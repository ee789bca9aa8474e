package base

import (
	"io"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

func writeRow(t *tree.Writer, r *Row) error {
	mount := int64(0)
	if r.Seen.Mount {
		mount = 1
	}
	return t.Entry(&r.Entry, int64(r.Seen.Mode), r.Seen.Size, r.Seen.MTime, r.Seen.CTime, int64(r.Seen.Inode), mount)
}

func writeChanges(t *tree.Writer, changes []Change) error {
	for i := range changes {
		var err error
		if c := &changes[i]; c.Gone {
			err = t.Gone(c.Path)
		} else {
			err = writeRow(t, &c.Row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readChanges(r io.Reader) ([]Change, error) {
	var out []Change
	for t := tree.NewReader(r); ; {
		c, err := readChange(t, nil)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
}

// readChange reads a change; of a row that is past, its path alone.
func readChange(t *tree.Reader, past func(path string) bool) (Change, error) {
	rec, err := t.NextPast(past)
	if err != nil || rec.Bare {
		return Change{Row: Row{Entry: rec.Entry}}, err
	}
	c := Change{Row: Row{Entry: rec.Entry}, Gone: rec.Gone}
	if m := rec.More; len(m) == 6 {
		c.Seen = localfs.Seen{Mode: uint32(m[0]), Size: m[1], MTime: m[2], CTime: m[3], Inode: uint64(m[4]), Mount: m[5] == 1}
	} else if !c.Gone {
		return Change{}, tree.ErrFormat
	}
	return c, nil
}
