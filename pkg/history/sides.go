package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/aymanbagabas/go-udiff"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/databases"
	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// ConflictSides is how a version that is kept aside differs from what has its name.
type ConflictSides struct {
	replica.Sides
	Diff   string        // of texts, unified; of links their targets
	Note   string        // in words, where there is no diff
	Tables []TableChange // of databases; before is what has the name
}

// conflictMost bounds the size of what a diff is made of: a larger one helps nobody.
const conflictMost = 1 << 20

// CompareConflict compares what has the name of a kept version now with that version: what the
// tree has, or, where x has no path, the newest generation.
func (r *Reader) CompareConflict(ctx context.Context, x scope.Replica, k replica.ConflictCopy) (c ConflictSides, err error) {
	tmp, err := os.MkdirTemp(r.tmp, "conflict-")
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	m := meeting{r: r, x: x, k: k, tmp: tmp}
	if x.Path != "" {
		if c.Sides, err = replica.SidesOf(x.Path, x.Within, k, conflictMost); err != nil {
			return c, err
		}
		m.now = filepath.Join(x.Path, filepath.FromSlash(k.Path))
	} else if c.Now, err = m.newest(ctx); err != nil {
		return c, err
	}
	if err := m.fetchKept(ctx, &c.Sides); err != nil {
		return c, err
	}
	return c, m.compare(ctx, &c)
}

// meeting is one comparison of two versions.
type meeting struct {
	r         *Reader
	x         scope.Replica
	k         replica.ConflictCopy
	tmp       string // a directory of ours
	now, kept string // files with both; "" where there is none
}

// fetchKept completes the version that is kept aside, where it is not on this machine. What it
// is told from others by stays what the bucket says.
func (m *meeting) fetchKept(ctx context.Context, s *replica.Sides) (err error) {
	if m.k.Here {
		m.kept = filepath.Join(m.x.Path, filepath.FromSlash(m.k.Entry.Path))
		return nil
	}
	dir := filepath.Join(m.tmp, "kept")
	if m.kept, err = m.r.ConflictFile(ctx, m.x, m.k, dir); err != nil {
		return err
	}
	sum := s.Kept.Sum
	s.Kept, err = replica.SideAt(dir, filepath.Base(m.kept), conflictMost)
	s.Kept.Sum = sum
	return err
}

// newest is what the newest generation has at the path.
func (m *meeting) newest(ctx context.Context) (s replica.Side, err error) {
	g, err := m.r.At(ctx, "", time.Time{})
	if err != nil {
		return s, err
	}
	t, layout, err := m.r.Tree(ctx, m.x, g)
	if err != nil {
		return s, err
	}
	e := tree.Find(t.Entries, m.k.Path)
	switch {
	case e == nil && databases.State(t.Entries, m.k.Path) != nil:
		return m.newestDatabase(ctx, t, layout)
	case e == nil:
		return replica.Side{Kind: "nothing"}, nil
	case e.Kind == tree.Dir:
		return replica.Side{Kind: "directory"}, nil
	case e.Kind == tree.Link:
		return replica.Side{Kind: "link", Text: []byte(e.Link), Size: int64(len(e.Link))}, nil
	}
	dir := filepath.Join(m.tmp, "now")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, err
	}
	if err := layout.Fetch(ctx, []*tree.Entry{e}, dir, nil, nil); err != nil {
		return s, fmt.Errorf("cannot fetch %q: %w", m.k.Path, err)
	}
	m.now = filepath.Join(dir, "0")
	return replica.SideAt(dir, "0", conflictMost)
}

// newestDatabase brings what a database is kept as in a bucket to a file.
func (m *meeting) newestDatabase(ctx context.Context, t *store.Tree, layout store.Layout) (s replica.Side, err error) {
	dir := filepath.Join(m.tmp, "now")
	whole, _ := kinds.Harmless(t)
	out, err := replica.Export(ctx, dir, laid(whole, m.k.Path), layout, true, nil)
	if err == nil && len(out.Problems) > 0 {
		err = errors.New(out.Problems[0].Reason)
	}
	if err != nil {
		return s, fmt.Errorf("cannot fetch %q: %w", m.k.Path, err)
	}
	name := path.Base(m.k.Path)
	m.now = filepath.Join(dir, name)
	return replica.SideAt(dir, name, conflictMost)
}

// compare says how both differ.
func (m *meeting) compare(ctx context.Context, c *ConflictSides) error {
	now, kept := &c.Now, &c.Kept
	for _, s := range []*replica.Side{now, kept} {
		if s.Kind == "file" && databases.IsDatabase(s.Text) {
			s.Kind = "database"
		}
	}
	switch {
	case now.Kind == "directory":
		c.Note = "a directory has its name now, and what is kept aside is " + kept.Words()
	case now.Kind == "database" && kept.Kind == "database":
		return m.tables(ctx, c)
	case now.Kind == "nothing" && kept.Kind == "database", now.Kind == "nothing" && !kept.IsText():
		c.Note = fmt.Sprintf("nothing has its name now; kept aside is %s of %d bytes", kept.Words(), kept.Size)
	case now.Left || kept.Left:
		c.Note = fmt.Sprintf("too large to compare: now %d bytes, kept aside %d bytes", now.Size, kept.Size)
	case !now.IsText() || !kept.IsText():
		c.Note = fmt.Sprintf("binary files differ: now %s of %d bytes, kept aside %s of %d bytes", now.Words(), now.Size, kept.Words(), kept.Size)
		if string(now.Text) == string(kept.Text) && now.Kind == kept.Kind {
			c.Note = same
		}
	default:
		c.Diff = udiff.Unified(m.name("now"), m.name("kept aside, of "+m.k.Host), text(now), text(kept))
		if c.Diff == "" {
			c.Note = same
		}
		if now.Kind != kept.Kind && now.Kind != "nothing" {
			c.Note = fmt.Sprintf("now it is %s, and kept aside is %s", now.Words(), kept.Words())
		}
	}
	return nil
}

const same = "both have the same content"

// text is a side as lines.
func text(s *replica.Side) string {
	if s.Kind == "link" {
		return string(s.Text) + "\n"
	}
	return string(s.Text)
}

// name is what a diff calls a side: the path, in quotes as git writes them where a line cannot
// have it, and after a tab, where no program looks for a path, which one it is.
func (m *meeting) name(which string) string {
	name := m.k.Path
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' || r == '\\' }) {
		name = quoted(name)
	}
	return name + "\t" + which
}

// quoted is a path in C's quotes.
func quoted(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(path) {
		switch c := path[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// tables says how many rows both databases have. What cannot be opened is a note.
func (m *meeting) tables(ctx context.Context, c *ConflictSides) error {
	if size := c.Now.Size + c.Kept.Size; size > insideWhole {
		c.Note = fmt.Sprintf("too large to open: both databases have %d MiB", size>>20)
		return nil
	}
	count := func(file, name string) (map[string]int64, error) {
		within := m.tmp
		if tree.Within(file, m.x.Path) && m.x.Path != "" {
			within = m.x.Within
		}
		scratch := filepath.Join(m.tmp, name)
		if err := os.Mkdir(scratch, 0o700); err != nil {
			return nil, err
		}
		return databases.TablesOf(ctx, file, within, scratch)
	}
	now, err := count(m.now, "copy of now")
	if err == nil {
		var kept map[string]int64
		if kept, err = count(m.kept, "copy of kept"); err == nil {
			d := Difference{}
			d.rows(now, kept)
			if c.Tables, c.Note = d.Tables, d.Note; len(c.Tables) == 0 {
				c.Note = "two databases with as many rows in each table"
			}
			return nil
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.Note = "it cannot be opened: " + anchor.OneLine(err)
	return nil
}

// CompareRef says of a ref that keeps something which commits it reaches that what has its name
// now does not (ahead), and the other way (behind): as the last capture saw them.
func (r *Reader) CompareRef(ctx context.Context, x scope.Replica, k gitstate.KeptRef) (c gitstate.Commits, err error) {
	scratch, err := os.MkdirTemp(r.tmp, "ref-")
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	return gitstate.Apart(ctx, repositories.Shadows(x.Path), k, scratch)
}
