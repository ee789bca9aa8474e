package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/coltec/coltec/pkg/databases"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/wholefile"
)

// Difference is how one path, or one whole, differs between two generations.
type Difference struct {
	Path   string
	What   string // added, changed, mode or time, removed
	Kind   string // file, directory, link, database, repository
	Before int64  // bytes; of a whole those of its copy
	After  int64
	Diff   string // of texts, unified; of links their targets
	Note   string // why there is no diff
	Refs   []RefChange
}

// RefChange is a ref of a repository, HEAD included, that differs; "" is none.
type RefChange struct{ Ref, Before, After string }

// What a comparison reads at most of content: more helps nobody.
const (
	compareFiles = 200       // files of which texts are compared
	compareFile  = 256 << 10 // bytes of one of them
	compareAll   = 1 << 20   // bytes of all diffs
	compareRefs  = 4 << 20   // bytes of a repository's refs
)

// Differences lists how a replica's tree at and below a path ("" for all) differs between two
// generations. The contents of texts are fetched where diff says so; of repositories their
// refs are. What was kept aside in conflicts is left out.
func (r *Reader) Differences(ctx context.Context, x scope.Replica, a, b store.Generation, under string, diff bool) ([]Difference, error) {
	before, _, err := r.Tree(ctx, x, a)
	if err != nil {
		return nil, err
	}
	after, layout, err := r.Tree(ctx, x, b)
	if err != nil {
		return nil, err
	}
	c := comparing{r: r, layout: layout, before: databases.AsFiles(before.Entries), after: databases.AsFiles(after.Entries), under: under}
	for i := range before.Entries {
		c.noteDatabase(&before.Entries[i])
	}
	for i := range after.Entries {
		c.noteDatabase(&after.Entries[i])
	}
	c.list()
	if err := c.refs(ctx); err != nil {
		return nil, err
	}
	if diff {
		err = c.diffs(ctx)
	}
	return c.found, err
}

// comparing is one comparison.
type comparing struct {
	r             *Reader
	layout        store.Layout
	before, after []tree.Entry // sorted, with a file in the place of each database
	under         string
	databases     map[string]bool
	found         []Difference
}

func (c *comparing) noteDatabase(e *tree.Entry) {
	if l := (databases.Kind{}).Layout(); tree.Within(e.Path, l.Dir) && e.Path != l.Dir {
		if c.databases == nil {
			c.databases = map[string]bool{}
		}
		c.databases[databases.Kind{}.Of(e.Path)] = true
	}
}

// list lists what differs: of a whole one row.
func (c *comparing) list() {
	wholes := map[string]int{} // the row of each
	for _, change := range Compare(c.before, c.after) {
		d := Difference{Path: change.Path, What: change.What}
		was, is := tree.Find(c.before, change.Path), tree.Find(c.after, change.Path)
		d.Before, d.After = sizeOf(was), sizeOf(is)
		at, whole := kinds.Of(change.Path)
		switch {
		case tree.Within(change.Path, localfs.Dir) && !whole:
			continue
		case whole:
			if i, known := wholes[at]; known {
				c.found[i].Before += d.Before
				c.found[i].After += d.After
				if c.found[i].What != d.What {
					c.found[i].What = "changed"
				}
				continue
			}
			d.Path, d.Kind = at, "directory"
			if tree.Within(change.Path, (repositories.Kind{}).Layout().Dir) {
				d.Kind = "repository"
			}
		default:
			d.Kind = c.kindOf(was, is)
		}
		if c.under != "" && !tree.Within(d.Path, c.under) {
			continue
		}
		if whole {
			wholes[at] = len(c.found)
		}
		c.found = append(c.found, d)
	}
}

func sizeOf(e *tree.Entry) int64 {
	if e == nil {
		return 0
	}
	return e.Size
}

// kindOf is what a path is, or was.
func (c *comparing) kindOf(was, is *tree.Entry) string {
	if is == nil {
		is = was
	}
	switch {
	case c.databases[is.Path]:
		return "database"
	case is.Kind == tree.Dir:
		return "directory"
	case is.Kind == tree.Link:
		return "link"
	}
	return "file"
}

// refs compares the refs of repositories that differ.
func (c *comparing) refs(ctx context.Context) error {
	for i := range c.found {
		d := &c.found[i]
		if d.Kind != "repository" {
			continue
		}
		was, err := c.refsOf(ctx, c.before, d.Path)
		if err != nil {
			return err
		}
		is, err := c.refsOf(ctx, c.after, d.Path)
		if err != nil {
			return err
		}
		for ref, to := range is {
			if was[ref] != to {
				d.Refs = append(d.Refs, RefChange{ref, was[ref], to})
			}
		}
		for ref, from := range was {
			if is[ref] == "" {
				d.Refs = append(d.Refs, RefChange{ref, from, ""})
			}
		}
		slices.SortFunc(d.Refs, func(a, b RefChange) int { return strings.Compare(a.Ref, b.Ref) })
	}
	return nil
}

// refsOf reads the refs of a repository's copy, with what HEAD says.
func (c *comparing) refsOf(ctx context.Context, entries []tree.Entry, at string) (map[string]string, error) {
	refs := map[string]string{}
	for _, name := range []string{"HEAD", "packed-refs"} {
		e := tree.Find(entries, (repositories.Kind{}).Layout().Dir+"/"+at+"/"+name)
		if e == nil || e.Kind != tree.File || e.Size > compareRefs {
			continue
		}
		texts, err := c.fetch(ctx, []*tree.Entry{e}, compareRefs)
		if err != nil {
			return nil, err
		}
		if name == "HEAD" {
			refs[name] = strings.TrimSpace(string(texts[0]))
			continue
		}
		for line := range strings.Lines(string(texts[0])) {
			if id, ref, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "^") {
				refs[ref] = id
			}
		}
	}
	return refs, nil
}

// diffs compares texts.
func (c *comparing) diffs(ctx context.Context) error {
	files, all := 0, 0
	for i := range c.found {
		d := &c.found[i]
		was, is := tree.Find(c.before, d.Path), tree.Find(c.after, d.Path)
		switch {
		case d.Kind == "link":
			d.Diff = udiff.Unified(d.Path, d.Path, targetOf(was), targetOf(is))
			continue
		case d.Kind != "file" || d.What == "mode or time":
			continue
		case d.Before > compareFile || d.After > compareFile:
			d.Note = "too large to compare"
			continue
		case files >= compareFiles || all >= compareAll:
			d.Note = "left out: there is more than fits"
			continue
		}
		files++
		from, err := c.text(ctx, was)
		if err != nil {
			return err
		}
		to, err := c.text(ctx, is)
		if err != nil {
			return err
		}
		if bytes.IndexByte(from, 0) >= 0 || bytes.IndexByte(to, 0) >= 0 {
			d.Note = "binary files differ"
			continue
		}
		d.Diff = udiff.Unified(d.Path, d.Path, string(from), string(to))
		all += len(d.Diff)
	}
	return nil
}

func targetOf(e *tree.Entry) string {
	if e == nil || e.Kind != tree.Link {
		return ""
	}
	return e.Link + "\n"
}

// text is the content of a file; nothing of what is none.
func (c *comparing) text(ctx context.Context, e *tree.Entry) ([]byte, error) {
	if e == nil || e.Kind != tree.File || e.Size == 0 {
		return nil, nil
	}
	texts, err := c.fetch(ctx, []*tree.Entry{e}, compareFile)
	if err != nil {
		return nil, err
	}
	return texts[0], nil
}

// fetch reads the contents of files of at most so many bytes.
func (c *comparing) fetch(ctx context.Context, entries []*tree.Entry, most int64) (texts [][]byte, err error) {
	dir, err := os.MkdirTemp(c.r.tmp, "compare-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := c.layout.Fetch(ctx, entries, dir, nil, nil); err != nil {
		return nil, err
	}
	for i := range entries {
		text, err := wholefile.Read(filepath.Join(dir, fmt.Sprint(i)), most)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}
