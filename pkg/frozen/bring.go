package frozen

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// Past is a tree of which directories are brought back.
type Past struct {
	Entries []tree.Entry
	Source  store.Layout
	Under   string // a path: what is at it and below; "" is all
	Missing bool   // only what is not here any more
}

// Bring makes the directories of a tree what they were then, each as a whole. What is replaced
// goes to where such things are kept; one in which a process works stays as it is, and is a
// problem, as is a part of one: half of it is nothing. Shadows stay: what is brought back is
// an edit like any other.
func Bring(ctx context.Context, o whole.Options, rep whole.Replica, past Past) (placed int, problems []localfs.Unknown, err error) {
	c := newCarrier(Kind{}, o)
	c.Serve(rep)
	for i := range past.Entries {
		name, is := strings.CutPrefix(path.Dir(past.Entries[i].Path), layout.Dir+"/")
		if !is || path.Base(past.Entries[i].Path) != markName {
			continue
		}
		at := pathOf(name)
		if top, _, _ := strings.Cut(at, "/"); strings.EqualFold(top, localfs.Dir) || admitted(at) != nil {
			continue // no coltecd wrote that
		}
		switch {
		case past.Under == "" || tree.Within(at, past.Under) && at != "":
		case at == "" || tree.Within(past.Under, at):
			problems = append(problems, localfs.Unknown{Path: past.Under, Reason: "it is part of the directory " + Path{Path: at}.known() + ", which comes back as a whole, or by --to beside it"})
			continue
		default:
			continue
		}
		did, err := c.bring(ctx, name, past)
		if ctx.Err() != nil {
			return placed, problems, context.Cause(ctx)
		}
		if err != nil {
			problems = append(problems, localfs.Unknown{Path: Path{Path: at}.known(), Reason: err.Error()})
		}
		if did {
			placed++
		}
	}
	return placed, problems, nil
}

// bring makes one directory what it was.
func (c *carrier) bring(ctx context.Context, name string, past Past) (did bool, err error) {
	at := pathOf(name)
	if past.Missing && c.vacant(at) != nil {
		return false, nil
	}
	if err := c.unused(at); err != nil {
		return false, err
	}
	var rows []tree.Entry
	for _, e := range past.Entries {
		if tree.Within(e.Path, layout.Dir+"/"+name) {
			rows = append(rows, e)
		}
	}
	a, err := c.fetch(ctx, past.Source, name, layout.Dir+"/"+name+"/", rows)
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(a.stage)
	now, err := c.here(ctx, at)
	if err != nil {
		return false, err
	}
	if now != nil {
		if same, err := c.equals(a.came, at, now); err != nil || same {
			return false, err
		}
	}
	if err := os.Remove(filepath.Join(a.came, markName)); err != nil {
		return false, err
	}
	return true, c.replace(a.came, at, c.rep.ReplacedDir(c.o.Now()), now != nil)
}
