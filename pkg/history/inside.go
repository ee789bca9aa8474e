package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/databases"
	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/whole"
)

// What a comparison opens at most of wholes.
const (
	insideWhole  = 256 << 20 // bytes of both copies of one
	insideAll    = 1 << 30   // bytes of all of them
	insideTables = 200       // tables of a database that are named
)

// inside opens the repositories and databases that are there on both sides, as copies of ours.
func (c *comparing) inside(ctx context.Context, before, after *store.Tree) error {
	was, is := shadows(before), shadows(after)
	left := int64(insideAll)
	for i := range c.found {
		d := &c.found[i]
		a, there := was[d.Kind+" "+d.Path]
		b, too := is[d.Kind+" "+d.Path]
		if !there || !too {
			continue
		}
		size := a.size() + b.size()
		switch {
		case size > insideWhole:
			d.Note = fmt.Sprintf("too large to open: both copies have %d MiB", size>>20)
			continue
		case size > left:
			d.Note = leftOut
			continue
		}
		left -= size
		if err := c.open(ctx, d, a, b); err != nil {
			return fmt.Errorf("cannot open %q: %w", d.Path, err)
		}
	}
	return nil
}

// opens is a whole that can be looked into.
type opens struct{ whole.Shadow }

// shadows are those of a tree that can be, by what they are and where.
func shadows(t *store.Tree) map[string]opens {
	all := map[string]opens{}
	t, _ = kinds.Harmless(t)
	for _, s := range kinds.ShadowsIn(t) {
		kind := "repository"
		switch s.Kind.(type) {
		case databases.Kind:
			kind = "database"
		case whole.Verifier:
		default:
			continue
		}
		all[kind+" "+s.Name] = opens{s}
	}
	return all
}

func (s opens) size() (bytes int64) {
	for i := range s.Entries {
		bytes += s.Entries[i].Size
	}
	return bytes
}

// open says what one has more and less. What cannot be opened is a note.
func (c *comparing) open(ctx context.Context, d *Difference, was, is opens) (err error) {
	dir, err := os.MkdirTemp(c.r.tmp, "whole-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var at [2]string
	for i, s := range []opens{was, is} {
		at[i] = filepath.Join(dir, fmt.Sprint(i))
		out, err := replica.Export(ctx, at[i], &store.Tree{Entries: s.Entries}, c.layout, true, nil)
		var told *rclone.Error
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &told) && told.Class != rclone.NotFound:
			return err
		case err != nil:
			d.Note = "it cannot be had: " + anchor.OneLine(err)
			return nil
		case len(out.Problems) > 0:
			d.Note = "it cannot be opened: " + out.Problems[0].Reason
			return nil
		}
	}
	if d.Kind == "database" {
		err = d.tables(ctx, at[0], at[1])
	} else {
		err = d.commits(ctx, at[0], at[1], filepath.Join(dir, "scratch"))
	}
	if err != nil && ctx.Err() == nil {
		d.Note = "it cannot be opened: " + anchor.OneLine(err)
		err = nil
	}
	return err
}

func (d *Difference) commits(ctx context.Context, was, is, scratch string) error {
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return err
	}
	list, more, err := gitstate.Between(ctx, was, is, scratch)
	if more > 0 {
		d.Note = fmt.Sprintf("the commits of %d more refs are left out", more)
	}
	d.Commits = list
	return err
}

func (d *Difference) tables(ctx context.Context, was, is string) error {
	before, err := databases.Tables(ctx, was)
	if err != nil {
		return err
	}
	after, err := databases.Tables(ctx, is)
	if err != nil {
		return err
	}
	d.rows(before, after)
	return nil
}

// rows says which tables have another number of rows.
func (d *Difference) rows(before, after map[string]int64) {
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, table := range slices.Sorted(maps.Keys(all)) {
		a, there := before[table]
		b, too := after[table]
		t := TableChange{table, "changed", a, b}
		switch {
		case !there:
			t.What = "added"
		case !too:
			t.What = "removed"
		case a == b:
			continue
		}
		d.Tables = append(d.Tables, t)
	}
	if n := len(d.Tables); n > insideTables {
		d.Tables, d.Note = d.Tables[:insideTables], fmt.Sprintf("and %d more tables", n-insideTables)
	}
}
